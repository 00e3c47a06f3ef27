/** `src/Recording` on a server that is killed again and again: nothing acknowledged is lost or repeated. */
import { assert, it } from "@effect/vitest"
import { complaints, crash } from "../support/Crash.ts"

/** `npm run crash` makes a thousand. */
const kills = 8

it(`plays back exactly what was sent after ${kills} kills`, { timeout: 600_000 }, async () => {
  const report = await crash({ kills, seed: 20_261_121 })
  console.log(JSON.stringify(report))
  assert.deepStrictEqual(complaints(report), [])
  assert.isAbove(report.connections, kills)
})
