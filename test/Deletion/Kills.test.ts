/** `src/Deletion`: tombstones outlive the nodes that act on them. */
import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import * as DeletionOnly from "./support/DeletionOnly.ts"
import { complaints, killRounds } from "./support/KillRounds.ts"

/** `npm run deletions` makes more, and allows 15 seconds. */
const kills = 2
const patience = 60

layer(DeletionOnly.layer, { excludeTestServices: true })("Deletion", (it) => {
  it.effect(`loses nothing when nodes are killed, and deletes nothing that was stored again (${kills} kills)`, () =>
    Effect.gen(function* () {
      const report = yield* killRounds({ kills, objects: 600, seed: 20_261_129 })
      console.log(JSON.stringify(report))
      assert.deepStrictEqual(complaints(report, patience), [])
    })
  )
})
