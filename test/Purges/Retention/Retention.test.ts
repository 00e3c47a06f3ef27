/** Retention on a real database; purges are only requested. */
import { assert, layer } from "@effect/vitest"
import { Duration, Effect, Layer, Option } from "effect"
import { SqlClient } from "effect/sql"
import { Purges } from "../../../src/Purges.ts"
import { Recording } from "../../../src/Recording.ts"
import { Retention } from "../../../src/Purges/Retention/Retention.ts"
import { RetentionConfig } from "../../../src/Purges/Retention/RetentionConfig.ts"
import { Users } from "../../../src/Users.ts"
import * as Postgres from "../../support/Postgres.ts"

/** What the layers of a test did and do. */
const makeWorld = () => ({
  requested: new Array<string>(),
  live: new Set<string>(),
  /** Whether requests create the row that a purge has. */
  isStored: true
})
type World = ReturnType<typeof makeWorld>

const retention = (world: World, retentionDays: number) => {
  const purges = Layer.effect(
    Purges,
    Effect.map(SqlClient.SqlClient, (sql) =>
      Purges.of({
        request: ({ conversation = "", uid }, delay) =>
          Effect.gen(function* () {
            assert.strictEqual(Duration.toMillis(delay), 0)
            world.requested.push(`${uid}/${conversation}`)
            if (world.isStored)
              yield* sql`
                INSERT INTO purges (id, uid, conversation_id, due_at, started_at)
                VALUES (gen_random_uuid(), ${uid}, ${conversation}, now(), now())`
            return Option.none()
          }).pipe(Effect.orDie),
        backlog: Effect.die("unused"),
        list: () => Effect.die("unused"),
        find: () => Effect.die("unused"),
        cancel: () => Effect.die("unused"),
        account: () => Effect.die("unused"),
        sweep: Effect.die("unused"),
        idle: Effect.void,
        waitForRequest: () => Effect.void,
        prune: Effect.void
      })
    )
  )
  const recording = Layer.mock(Recording, {
    isLive: ({ conversation, uid }) => Effect.sync(() => world.live.has(`${uid}/${conversation}`)),
    journal: () => assert.fail("unused"),
    captures: () => [],
    uploads: () => assert.fail("unused")
  })
  return Layer.fresh(Retention.layer).pipe(
    Layer.provide([purges, recording, Layer.succeed(RetentionConfig, { retentionDays, interval: Duration.minutes(1) })])
  )
}

/** A conversation that ended this many days ago. */
const conversation = (uid: string, id: string, daysAgo: number) =>
  SqlClient.SqlClient.use(
    (sql) => sql`
      INSERT INTO conversations (uid, id, ended_on) VALUES (${uid}, ${id}, (now() AT TIME ZONE 'UTC')::date - ${daysAgo}::int)`
  )

const clear = SqlClient.SqlClient.use((sql) => sql`TRUNCATE conversations, purges, user_settings CASCADE`)

const keep = (uid: string, days: number | null) =>
  Users.use((users) => users.putSettings(uid, { retentionDays: Option.fromNullishOr(days) }))

const round = Effect.gen(function* () {
  const { sweep } = yield* Retention
  const results: Array<string> = []
  while (results.at(-1) !== "round" && results.at(-1) !== "full") results.push(yield* sweep)
  return results
})

layer(Users.layer.pipe(Layer.provideMerge(Postgres.layer)), { excludeTestServices: true })("Retention", (it) => {
  it.effect("requests purges of conversations that ended longer ago than the user, or else the server, says", () =>
    Effect.gen(function* () {
      yield* clear
      for (const uid of ["ada", "bob", "cyd", "dan"])
        for (const days of [0, 6, 7, 8, 30, 31, 400]) yield* conversation(uid, `d${days}`, days)
      yield* keep("bob", 7)
      yield* keep("cyd", 0)
      yield* keep("dan", null)
      const world = makeWorld()
      assert.deepStrictEqual(yield* round.pipe(Effect.provide(retention(world, 30))), ["round"])
      const expected = ["ada/d400", "ada/d31", "bob/d400", "bob/d31", "bob/d30", "bob/d8", "dan/d400", "dan/d31"]
      assert.deepStrictEqual(world.requested, expected)
      yield* round.pipe(Effect.provide(retention(world, 30)))
      assert.deepStrictEqual(world.requested, expected, "nothing twice")
    })
  )

  it.effect("requests no purge by default, except for users with a setting of their own", () =>
    Effect.gen(function* () {
      yield* clear
      for (const uid of ["ada", "bob", "cyd"]) yield* conversation(uid, "old", 20_000)
      yield* keep("bob", 36_500)
      yield* keep("cyd", 1)
      const world = makeWorld()
      assert.deepStrictEqual(yield* round.pipe(Effect.provide(retention(world, 0))), ["round"])
      assert.deepStrictEqual(world.requested, ["cyd/old"])
    })
  )

  it.effect("leaves live conversations alone", () =>
    Effect.gen(function* () {
      yield* clear
      yield* conversation("ada", "live", 50)
      yield* conversation("ada", "over", 40)
      const world = makeWorld()
      world.live.add("ada/live")
      yield* round.pipe(Effect.provide(retention(world, 30)))
      assert.deepStrictEqual(world.requested, ["ada/over"])
    })
  )

  it.effect("checks 100 users at a time, and requests no more purges than have their turn soon", () =>
    Effect.gen(function* () {
      yield* clear
      const sql = yield* SqlClient.SqlClient
      yield* sql`
        INSERT INTO conversations (uid, id, ended_on)
        SELECT 'u' || lpad(u::text, 4, '0'), 'c' || c, date '2020-01-01' + c
        FROM generate_series(1, 250) u, generate_series(1, CASE WHEN u = 120 THEN 50 WHEN u = 200 THEN 1 ELSE 0 END) c`
      yield* sql`INSERT INTO conversations (uid, id) SELECT 'u' || lpad(u::text, 4, '0'), 'new' FROM generate_series(1, 250) u`
      const world = makeWorld()
      yield* Effect.gen(function* () {
        assert.deepStrictEqual(yield* round, ["more", "full"])
        assert.strictEqual(world.requested.length, 32)
        assert.deepStrictEqual(yield* round, ["full"])
        assert.strictEqual(world.requested.length, 32)
        yield* sql`UPDATE purges SET finished_at = now(), due_at = NULL`
        yield* sql`DELETE FROM conversations v USING purges p WHERE v.uid = p.uid AND v.id = p.conversation_id`
        assert.deepStrictEqual(yield* round, ["more", "round"])
        assert.strictEqual(world.requested.at(-1), "u0200/c1")
        assert.strictEqual(new Set(world.requested).size, 51)
        assert.deepStrictEqual(yield* round, ["more", "more", "round"], "from the first user again")
        assert.strictEqual(world.requested.length, 51)
      }).pipe(Effect.provide(retention(world, 30)))
    })
  )

  it.effect("is not held up by purges that wait for their time or were given up", () =>
    Effect.gen(function* () {
      yield* clear
      yield* conversation("ada", "old", 50)
      const sql = yield* SqlClient.SqlClient
      yield* sql`
        INSERT INTO purges (id, uid, conversation_id, due_at, started_at, dead_at)
        SELECT gen_random_uuid(), 'bob', 'c' || n, CASE WHEN n <= 40 THEN now() + interval '1 day' END,
               CASE WHEN n > 40 THEN now() END, CASE WHEN n > 40 THEN now() END
        FROM generate_series(1, 80) n`
      const world = makeWorld()
      assert.deepStrictEqual(yield* round.pipe(Effect.provide(retention(world, 30))), ["round"])
      assert.deepStrictEqual(world.requested, ["ada/old"])
    })
  )

  it.effect("reads the expired conversations of a user and none of the others", () =>
    Effect.gen(function* () {
      yield* clear
      const sql = yield* SqlClient.SqlClient
      yield* sql`INSERT INTO conversations (uid, id) SELECT 'ada', 'c' || c FROM generate_series(1, 20000) c`
      yield* conversation("ada", "old", 50)
      yield* sql`ANALYZE conversations`
      const plan = yield* sql`
        EXPLAIN (ANALYZE, FORMAT TEXT, TIMING OFF, COSTS OFF)
        SELECT c.id FROM conversations c
        WHERE c.uid = 'ada' AND c.ended_on < (now() AT TIME ZONE 'UTC')::date - 30
        ORDER BY c.ended_on, c.id LIMIT 32`
      const text = JSON.stringify(plan)
      assert.include(text, "conversations_ended")
      assert.match(text, /conversations_ended[^"]*actual rows=1/)
      const world = makeWorld()
      yield* round.pipe(Effect.provide(retention(world, 30)))
      assert.deepStrictEqual(world.requested, ["ada/old"])
    })
  )
})
