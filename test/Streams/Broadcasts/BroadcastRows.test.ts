/** The end of broadcasts that nothing feeds, on a real database. */
import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import { SqlClient } from "effect/sql"
import { BroadcastRows } from "../../../src/Streams/Broadcasts/BroadcastRows.ts"
import * as World from "../support/World.ts"

const world = World.layerWith({
  request: ({ conversation }) => (conversation === "c1" ? Effect.die("a defect") : Effect.succeed(true))
})

layer(world, { excludeTestServices: true })("A sweep", (it) => {
  it.effect("ends the broadcasts of other streams although the first one fails with a defect each time", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const { sweep } = yield* BroadcastRows
      yield* sql`insert into streams (uid, slug, title) select 'u', 's' || n, 'T' from generate_series(1, 3) as n`
      yield* sql`
        insert into broadcasts (stream_id, id, uid, conversation, seen_at)
        select id, 1, uid, 'c' || id, now() - interval '1 hour' + id * interval '1 minute' from streams`
      assert.strictEqual(yield* sweep, 2)
      assert.strictEqual(yield* sweep, 0)
      const live = yield* sql`select conversation from broadcasts where ended_at is null`
      assert.deepStrictEqual(live, [{ conversation: "c1" }])
    })
  )
})
