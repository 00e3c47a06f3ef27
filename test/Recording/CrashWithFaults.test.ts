/** `src/Recording` while its server, PostgreSQL and its store are killed: nothing that was sent is lost or repeated. */
import { assert, it } from "@effect/vitest"
import { crashWithFaults, faultComplaints } from "../support/Crash/Faults.ts"

/** A hundred with those of `Crash.test.ts`; `npm run crash` makes a thousand. */
const kills = 82
const killsWhenFull = 10

it(
  `plays back exactly what was sent after ${kills} kills of server, database and store`,
  { timeout: 600_000 },
  async () => {
    const report = await crashWithFaults({ kills, seed: 20_261_129 })
    console.log(JSON.stringify(report))
    assert.deepStrictEqual(faultComplaints(report), [])
    assert.strictEqual(report.lost, 0)
    for (const count of Object.values(report.kills)) assert.isAbove(count, 0)
  }
)

it("loses only what is recorded as lost when the journal is full", { timeout: 600_000 }, async () => {
  const report = await crashWithFaults({ kills: killsWhenFull, seed: 20_261_130, journalBytes: "600 KiB" })
  console.log(JSON.stringify(report))
  assert.deepStrictEqual(faultComplaints(report), [])
  assert.isAbove(report.lost, 0)
})
