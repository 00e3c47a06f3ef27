/** Set up in every test file: what the random tests begin with. `npm run fuzz` runs them again and again with other seeds. */
import * as Arbitrary from "effect/Arbitrary"
import { afterEach } from "vitest"

const asked = Number(process.env["TEST_SEED"])

/** `TEST_SEED`, or another one in each process; a test that fails says it. */
export const seed = Number.isSafeInteger(asked) && asked > 0 ? asked : Math.floor(performance.timeOrigin) % 1_000_000

Arbitrary.configureGlobal({ check: { seed } })

afterEach(({ task }) => {
  if (task.result?.state === "fail") console.error(`${task.name}: failed with TEST_SEED=${seed}`)
})
