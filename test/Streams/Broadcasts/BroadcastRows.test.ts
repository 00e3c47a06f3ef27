/** The end of broadcasts that nothing feeds, and of their audio, on a real database. */
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

layer(world, { excludeTestServices: true })("The audio of a broadcast", (it) => {
  it.effect("ends where the latest report says, also when the broadcast has ended", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const { writeAudioEnds } = yield* BroadcastRows
      yield* sql`insert into streams (uid, slug, title) values ('u', 'ends', 'T')`
      const [row] = yield* sql<{ readonly stream: number }>`
        insert into broadcasts (stream_id, id, uid, conversation, ended_at)
        select s.id, n, uid, 'c', now() from streams s, generate_series(1, 2) as n
        returning stream_id::float8 as stream`
      const stream = row?.stream ?? assert.fail("it is there")
      const report = { stream, conversation: "c", capture: "00000000-0000-4000-8000-000000000001" }
      for (const audioEnd of [undefined, 5.5, 4, undefined])
        yield* writeAudioEnds([
          { ...report, broadcast: 1, audioEnd },
          { ...report, broadcast: 2, audioEnd: 3 }
        ])
      const ends = yield* sql`select audio_end as "end" from broadcasts order by id`
      assert.deepStrictEqual(ends, [{ end: 5.5 }, { end: 3 }])
    })
  )
})
