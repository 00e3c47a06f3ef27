/** Sets the seed of the random tests in every test file. `npm run fuzz` repeats them with other seeds. */
import * as Arbitrary from "effect/Arbitrary"
import { afterEach } from "vitest"

const asked = Number(process.env["TEST_SEED"])

/** `TEST_SEED`, or a different one in each process; a failing test prints it. */
export const seed = Number.isSafeInteger(asked) && asked > 0 ? asked : Math.floor(performance.timeOrigin) % 1_000_000

Arbitrary.configureGlobal({ check: { seed } })

afterEach(({ task }) => {
  if (task.result?.state === "fail") console.error(`${task.name}: failed with TEST_SEED=${seed}`)
})
