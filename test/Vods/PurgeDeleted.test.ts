/** `src/Vods.ts`: purges of deleted VODs that fail, on a real database. */
import { assert, layer } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { SqlClient } from "effect/sql"
import { Playback } from "../../src/Playback.ts"
import { Precache } from "../../src/Precache.ts"
import { Purges } from "../../src/Purges.ts"
import { StorageRefused } from "../../src/Storage.ts"
import { Vods } from "../../src/Vods.ts"
import * as World from "./support/World.ts"

const failures: Record<string, Effect.Effect<never, StorageRefused>> = {
  defect: Effect.die("a defect"),
  refused: Effect.fail(
    new StorageRefused({ operation: "list", bucket: "b", key: "chunks/u/refused/", reason: "damaged" })
  )
}

const world = Vods.layerNoDeps.pipe(
  Layer.provide([
    Layer.mock(Purges, {
      request: ({ conversation = "" }) => failures[conversation] ?? Effect.succeedNone
    }),
    Layer.mock(Playback, { render: () => assert.fail("is not called") }),
    Layer.mock(Precache, {})
  ]),
  Layer.provideMerge(World.layer)
)

layer(world, { excludeTestServices: true })("Purges of deleted VODs", (it) => {
  it.effect("reach all others of a batch although the first ones fail each time", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const { purgeDeleted } = yield* Vods
      for (const conversation of ["defect", "refused", "other"]) {
        const id = yield* World.vod()
        yield* sql`
          update vods set conversation_id = ${conversation}, deleted_at = now(), purge_at = now() where id = ${id}::bigint`
      }
      assert.isFalse(yield* purgeDeleted)
      const left = yield* sql`select conversation_id as left from vods order by id`
      assert.deepStrictEqual(left, [{ left: "defect" }, { left: "refused" }])
    })
  )
})
