/** `src/Db/Notifications.ts` on a real database. */
import { assert, layer } from "@effect/vitest"
import { Effect, Layer, Queue } from "effect"
import { SqlClient } from "effect/sql"
import { Db, notify, Notifications } from "../../src/Db.ts"
import { DbServer } from "../../src/Db/DbServer.ts"
import * as Postgres from "../support/Postgres.ts"

const world = Notifications.layer.pipe(Layer.provideMerge(Postgres.layer))

/** What a listener is called with, in order; "gap" for a connect. */
const heard = (topic: string) =>
  Effect.gen(function* () {
    const { listen } = yield* Notifications
    const queue = yield* Queue.unbounded<string>()
    yield* listen(topic, {
      onKey: (key) => Queue.offerUnsafe(queue, key),
      onGap: () => Queue.offerUnsafe(queue, "gap")
    })
    return queue
  })

const listening = Effect.gen(function* () {
  const { isListening } = yield* Notifications
  yield* Effect.repeat(Effect.delay(Effect.sync(isListening), "10 millis"), { until: (is) => is })
})

const send = (topic: string, key: string) =>
  Db.use((db) => db.transactionIdempotent("test.notify", (sql) => notify(sql, topic, key)))

layer(world, { excludeTestServices: true })("Notifications", (it) => {
  it.effect("arrive when their transaction commits, of the listener's topic only", () =>
    Effect.gen(function* () {
      yield* listening
      const db = yield* Db
      const queue = yield* heard("topic")
      yield* Effect.ignore(
        db.transaction("test.rollback", (sql) => Effect.andThen(notify(sql, "topic", 1), Effect.fail("rolled back")))
      )
      yield* send("other", "2")
      yield* send("topic", "3 and more")
      assert.strictEqual(yield* Queue.take(queue), "3 and more")
    })
  )

  it.effect("that were missed while the connection was down are announced as a gap, and later ones arrive", () =>
    Effect.gen(function* () {
      yield* listening
      const sql = yield* SqlClient.SqlClient
      const queue = yield* heard("topic")
      const rows = yield* sql`
        select pg_terminate_backend(pid) from pg_stat_activity where query ilike 'listen%' and datname = current_database()`
      assert.lengthOf(rows, 1)
      assert.strictEqual(yield* Queue.take(queue), "gap")
      yield* send("topic", "4")
      assert.strictEqual(yield* Queue.take(queue), "4")
    })
  )

  it.effect("are not sent to a listener whose scope has closed", () =>
    Effect.gen(function* () {
      yield* listening
      const closed = yield* Effect.scoped(heard("topic"))
      const queue = yield* heard("topic")
      yield* send("topic", "5")
      assert.strictEqual(yield* Queue.take(queue), "5")
      assert.strictEqual(yield* Queue.size(closed), 0)
    })
  )

  it.effect("are not waited for behind a pooler", () =>
    Effect.gen(function* () {
      const server = yield* DbServer
      const sql = yield* SqlClient.SqlClient
      const pooled = Layer.fresh(Notifications.layer).pipe(
        Layer.provide(Layer.succeed(DbServer, { ...server, pooled: true }))
      )
      const count = Effect.map(
        sql`select from pg_stat_activity where query ilike 'listen%' and datname = current_database()`,
        ({ length }) => length
      )
      yield* listening
      const before = yield* count
      yield* Effect.gen(function* () {
        const { isListening } = yield* Notifications
        assert.isFalse(isListening())
        // A connection that it must not open would be seen within a few of these.
        for (let query = 0; query < 100; query++) assert.strictEqual(yield* count, before)
      }).pipe(Effect.provide(pooled))
    })
  )
})
