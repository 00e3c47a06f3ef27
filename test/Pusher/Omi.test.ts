/** `src/Pusher` and omi's backend, which has no acknowledgements, selects a conversation once, and shares a breaker. */
import { assert, it } from "@effect/vitest"
import { testDirectory } from "../support/TestServer.ts"
import { day } from "./support/OmiDay.ts"

/** `npm run omi` has more. */
const [users, restarts] = [3, 2]

it(`has all that omi's backend sent to an open socket on a day with ${restarts} restarts`, async () => {
  const report = await day({ dataDir: testDirectory(), users, conversations: 12, restarts, seed: 20_261_130 })
  console.log(JSON.stringify(report))
  assert.deepStrictEqual(report.wrong, [])
  assert.isAtLeast(report.connections, users * (restarts + 1))
})
