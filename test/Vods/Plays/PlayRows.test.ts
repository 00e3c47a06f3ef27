/** Old plays of VODs, on a real database. */
import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import { SqlClient } from "effect/sql"
import { PlayRows } from "../../../src/Vods/Plays/PlayRows.ts"
import * as World from "../support/World.ts"

layer(World.layer, { excludeTestServices: true })("Old plays", (it) => {
  it.effect("are removed batch after batch, and those of the last days stay", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const { prune } = yield* PlayRows
      yield* sql`
        insert into vod_plays (uid, conversation_id, session, day, seconds)
        select 'u', 'c', 's' || n, (now() at time zone 'utc')::date - case when n <= 2 then n else 3 end::int, 1
        from generate_series(1, 2500) as n`
      yield* sql`
        insert into vod_days (uid, conversation_id, day)
        select 'u', 'c' || n, (now() at time zone 'utc')::date - case when n = 1 then 29 else 30 end::int
        from generate_series(1, 3500) as n`
      const rounds = [yield* prune, yield* prune, yield* prune, yield* prune]
      assert.deepStrictEqual(rounds, [true, true, true, false])
      assert.deepStrictEqual(yield* sql`select session from vod_plays order by session`, [
        { session: "s1" },
        { session: "s2" }
      ])
      assert.deepStrictEqual(yield* sql`select conversation_id from vod_days`, [{ conversation_id: "c1" }])
    })
  )
})
