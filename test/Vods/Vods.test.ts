/** `src/Vods.ts`: the rounds that create and end VODs. */
import { assert, layer } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { SqlClient } from "effect/sql"
import { Playback } from "../../src/Playback.ts"
import { Precache } from "../../src/Precache.ts"
import { Purges } from "../../src/Purges.ts"
import { Vods } from "../../src/Vods.ts"
import { problemsOf, statementsOf } from "../support/Plans.ts"
import * as World from "./support/World.ts"

const playback = Layer.mock(Playback, { render: () => assert.fail("a round plays nothing") })
const others = Layer.mergeAll(Layer.mock(Purges, {}), playback, Layer.mock(Precache, {}))
const world = Vods.layer.pipe(Layer.provide(others), Layer.provideMerge(World.layer))

layer(world, { excludeTestServices: true })("A round", (it) => {
  it.effect("creates the VODs of ended broadcasts and ends those of dead jobs", () =>
    Effect.gen(function* () {
      const [sql, { settle }] = [yield* SqlClient.SqlClient, yield* Vods]
      yield* World.stream("u", "talk")
      yield* World.broadcasts("talk", [1, 2])
      const statuses = Effect.map(
        sql<{ readonly status: string }>`select status from vods where uid = 'u' order by broadcast_id`,
        (rows) => rows.map(({ status }) => status)
      )
      assert.isFalse(yield* settle)
      assert.deepStrictEqual(yield* statuses, ["pending", "pending"])
      yield* sql`
        update vod_jobs set due_at = null, dead_at = now()
        where vod_id = (select id from vods where uid = 'u' and broadcast_id = 1)`
      assert.isFalse(yield* settle)
      assert.deepStrictEqual(yield* statuses, ["failed", "pending"])
    })
  )

  it.effect("is one statement that reads no rows while there is nothing to do, whatever the tables hold", () =>
    Effect.gen(function* () {
      const [sql, { settle }] = [yield* SqlClient.SqlClient, yield* Vods]
      yield* World.stream("u", "idle")
      yield* sql`
        insert into broadcasts (stream_id, id, uid, conversation, ended_at, has_vod)
        select s.id, n, 'u', 'b' || n, now(), true from streams s, generate_series(1, 5000) as n where slug = 'idle'`
      yield* sql`
        with many as (
          insert into vods (uid, stream_id, broadcast_id, conversation_id, title, started_at)
          select 'u', 0, n, 'c' || n, 'T', now() from generate_series(1, 5000) as n returning id
        )
        insert into vod_jobs (vod_id, uid, conversation_id, due_at)
        select id, 'u', 'c' || id, now() + interval '1 hour' from many`
      yield* sql`analyze broadcasts, vod_jobs`
      const [statement, ...more] = yield* statementsOf(settle)
      assert.deepStrictEqual(more, [])
      assert.deepStrictEqual(yield* problemsOf(statement ?? assert.fail("no statement"), 1), [])
    })
  )
})
