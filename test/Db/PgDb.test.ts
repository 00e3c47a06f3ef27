/** `Db` against a real server. */
import { assert, layer } from "@effect/vitest"
import { Cause, Deferred, Duration, Effect, Exit, Fiber } from "effect"
import { PrometheusMetrics } from "effect/observability"
import { SqlClient } from "effect/sql"
import { Db, DbTimeout } from "../../src/Db.ts"
import { DbServer } from "../../src/Db/DbServer.ts"
import * as Postgres from "../support/Postgres.ts"
import { dbOn, until } from "./support/Fixture.ts"

/** Statements of this database that run now and hold `mark`. */
const running = (mark: string) =>
  Effect.flatMap(SqlClient.SqlClient, (sql) =>
    Effect.map(
      sql<{ n: number }>`
        SELECT count(*)::int AS n FROM pg_stat_activity
        WHERE datname = current_database() AND state <> 'idle' AND pid <> pg_backend_pid()
          AND query LIKE ${`%${mark}%`}`,
      (rows) => rows[0]?.n
    )
  )

layer(Postgres.layer, { excludeTestServices: true })("PgDb", (it) => {
  it.effect("reads and writes", () =>
    Effect.gen(function* () {
      const db = yield* Db
      yield* db.write("Test.insert", (sql) => sql`INSERT INTO conversations (uid, id) VALUES ('u', 'c')`)
      const rows = yield* db.read("Test.list", (sql) => sql`SELECT id FROM conversations WHERE uid = 'u'`)
      assert.deepStrictEqual(rows, [{ id: "c" }])
    })
  )

  it.effect("cancels on the server a statement that takes too long", () =>
    Effect.gen(function* () {
      const { db } = yield* dbOn(yield* DbServer, { statementTimeout: Duration.millis(200) })
      const sleep = db.read("Test.sleep", (sql) => sql`SELECT pg_sleep(30) AS too_long`)
      const [took, error] = yield* Effect.timed(Effect.flip(sleep))
      assert.deepStrictEqual(error, new DbTimeout({ operation: "Test.sleep", limit: "statement" }))
      assert.isBelow(Duration.toMillis(took), 10_000, "a third of what the statement would take")
      yield* until(running("too_long"), (n) => n === 0)
    })
  )

  it.effect("has the server time out a statement that the client can no longer cancel", () =>
    Effect.gen(function* () {
      const { db } = yield* dbOn(yield* DbServer, { statementTimeout: Duration.seconds(30) })
      const settings = yield* db.read(
        "Test.settings",
        (sql) => sql`
          SELECT current_setting('statement_timeout') AS statement,
                 current_setting('idle_in_transaction_session_timeout') AS idle`
      )
      assert.deepStrictEqual(settings, [{ statement: "35s", idle: "35s" }])
    })
  )

  it.effect("cancels on the server the statement of an interrupted caller", () =>
    Effect.gen(function* () {
      const db = yield* Db
      const fiber = yield* Effect.forkChild(db.read("Test.sleep", (sql) => sql`SELECT pg_sleep(30) AS given_up`))
      yield* until(running("given_up"), (n) => n === 1)
      yield* Fiber.interrupt(fiber)
      yield* until(running("given_up"), (n) => n === 0)
    })
  )

  it.effect("waits for a connection when all are in use, within the deadline", () =>
    Effect.gen(function* () {
      const { db } = yield* dbOn(yield* DbServer, { pool: 4, deadline: Duration.seconds(2) })
      const busy = db.read("Test.busy", (sql) => sql`SELECT pg_sleep(0.2)`)
      const [took] = yield* Effect.timed(Effect.all([busy, busy, busy], { concurrency: "unbounded" }))
      assert.isAtLeast(Duration.toMillis(took), 390)
      const held = db.read("Test.held", () => Effect.onInterrupt(Effect.never, () => Effect.sleep("300 millis")))
      yield* Effect.forkScoped(Effect.all([held, held], { concurrency: "unbounded" }), { startImmediately: true })
      const error = yield* Effect.flip(db.read("Test.last", (sql) => sql`SELECT 1`))
      assert.deepStrictEqual(error, new DbTimeout({ operation: "Test.last", limit: "deadline" }))
    })
  )

  it.effect("dies of a violated constraint unless the query catches it", () =>
    Effect.gen(function* () {
      const db = yield* Db
      const insert = (sql: SqlClient.SqlClient) => sql`INSERT INTO conversations (uid, id) VALUES ('twice', 'c')`
      yield* db.write("Test.insert", insert)
      const exit = yield* Effect.exit(db.write("Test.insert", insert))
      assert.isTrue(Exit.isFailure(exit) && Cause.hasDies(exit.cause))
      const caught = yield* db.write("Test.insert", (sql) =>
        Effect.catchReason(insert(sql), "SqlError", "UniqueViolation", () => Effect.succeed("taken"))
      )
      assert.strictEqual(caught, "taken")
    })
  )

  it.effect("retries the whole transaction after a serialization failure", () =>
    Effect.gen(function* () {
      const db = yield* Db
      const sql = yield* SqlClient.SqlClient
      yield* sql`CREATE TABLE counter (n int NOT NULL)`
      yield* sql`INSERT INTO counter VALUES (0)`
      let attempts = 0
      const increment = db
        .transaction("Test.increment", (sql) =>
          Effect.gen(function* () {
            attempts++
            const rows = yield* sql<{ n: number }>`SELECT n FROM counter`
            yield* sql`SELECT pg_sleep(0.002)`
            yield* sql`UPDATE counter SET n = ${(rows[0]?.n ?? 0) + 1}`
          })
        )
        .pipe(Effect.provideService(SqlClient.BeginTransaction, "BEGIN ISOLATION LEVEL SERIALIZABLE"))
      const loop = Effect.repeat(increment, { times: 9 })
      yield* Effect.all([loop, loop, loop], { concurrency: "unbounded" })
      assert.deepStrictEqual(yield* sql`SELECT n FROM counter`, [{ n: 30 }])
      assert.isAbove(attempts, 30, "some attempts were refused")
    })
  )

  it.effect("retries the victim of a deadlock", () =>
    Effect.gen(function* () {
      const db = yield* Db
      const sql = yield* SqlClient.SqlClient
      yield* sql`CREATE TABLE pair (id int PRIMARY KEY, n int NOT NULL)`
      yield* sql`INSERT INTO pair VALUES (1, 0), (2, 0)`
      const both = [yield* Deferred.make<void>(), yield* Deferred.make<void>()] as const
      let attempts = 0
      const transfer = (from: number, to: number, mine: 0 | 1) =>
        db.transaction("Test.transfer", (sql) =>
          Effect.gen(function* () {
            attempts++
            yield* sql`SET LOCAL deadlock_timeout = '20ms'`
            yield* sql`UPDATE pair SET n = n - 1 WHERE id = ${from}`
            yield* Deferred.succeed(both[mine], undefined)
            yield* Deferred.await(both[mine === 0 ? 1 : 0])
            yield* sql`UPDATE pair SET n = n + 1 WHERE id = ${to}`
          })
        )
      yield* Effect.all([transfer(1, 2, 0), transfer(2, 1, 1)], { concurrency: "unbounded" })
      assert.deepStrictEqual(yield* sql`SELECT n FROM pair`, [{ n: 0 }, { n: 0 }])
      assert.strictEqual(attempts, 3)
    })
  )

  it.effect("rolls back everything when a transaction fails", () =>
    Effect.gen(function* () {
      const db = yield* Db
      const sql = yield* SqlClient.SqlClient
      const failure = yield* Effect.flip(
        db.transaction("Test.outer", (sql) =>
          Effect.gen(function* () {
            yield* sql`INSERT INTO conversations (uid, id) VALUES ('rolled', 'a')`
            yield* db.write("Test.inner", (sql) => sql`INSERT INTO conversations (uid, id) VALUES ('rolled', 'b')`)
            return yield* Effect.fail("no")
          })
        )
      )
      assert.strictEqual(failure, "no")
      assert.deepStrictEqual(yield* sql`SELECT id FROM conversations WHERE uid = 'rolled'`, [])
    })
  )

  it.effect("joins operations inside a transaction to it, and retries only the transaction", () =>
    Effect.gen(function* () {
      const db = yield* Db
      const sql = yield* SqlClient.SqlClient
      let attempts = 0
      yield* db.transaction("Test.outer", () =>
        Effect.gen(function* () {
          const attempt = ++attempts
          yield* db.write("Test.a", (sql) => sql`INSERT INTO conversations (uid, id) VALUES ('joined', 'a')`)
          yield* db.transaction("Test.inner", (sql) =>
            attempt === 1
              ? sql`DO $$ BEGIN RAISE EXCEPTION 'try again' USING ERRCODE = '40001'; END $$`
              : sql`INSERT INTO conversations (uid, id) VALUES ('joined', 'b')`
          )
        })
      )
      assert.strictEqual(attempts, 2)
      assert.deepStrictEqual(yield* sql`SELECT id FROM conversations WHERE uid = 'joined' ORDER BY id`, [
        { id: "a" },
        { id: "b" }
      ])
    })
  )

  it.effect("counts operations by name and failures by kind", () =>
    Effect.gen(function* () {
      const { db } = yield* dbOn(yield* DbServer, { retries: 1, retryBase: Duration.millis(10) })
      yield* db.read("Test.counted", (sql) => sql`SELECT 1`)
      const refused = (sql: SqlClient.SqlClient) =>
        sql`DO $$ BEGIN RAISE EXCEPTION 'try again' USING ERRCODE = '40001'; END $$`
      assert.deepInclude(yield* Effect.flip(db.write("Test.refused", refused)), { attempts: 2 })
      const text = yield* PrometheusMetrics.format()
      assert.match(text, /^spillway_db_operation_seconds_count\{operation="Test.counted"\} 1$/m)
      assert.match(text, /^spillway_db_operation_seconds_count\{operation="Test.refused"\} 1$/m)
      assert.match(text, /^spillway_db_faults_total\{fault="refused"\} ([2-9]|\d{2,})$/m)
      assert.match(text, /^spillway_db_retries_total\{fault="refused"\} \d+$/m)
      assert.match(text, /^spillway_db_pool_capacity 20$/m)
    })
  )

  it.effect("leaves no transaction open on an interrupted caller's connection", () =>
    Effect.gen(function* () {
      const { db, sql } = yield* dbOn(yield* DbServer, { pool: 2 })
      yield* Effect.forEach(
        Array.from({ length: 60 }, (_, n) => n),
        (n) =>
          Effect.gen(function* () {
            const fiber = yield* Effect.forkChild(
              db.transaction("Test.abandoned", (sql) => sql`SELECT pg_sleep(0.001) AS abandoned`)
            )
            yield* Effect.sleep(Duration.millis(n / 10))
            yield* Fiber.interrupt(fiber)
          }),
        { concurrency: 2 }
      )
      const open = sql<{ n: number }>`
        SELECT count(*)::int AS n FROM pg_stat_activity
        WHERE datname = current_database() AND state LIKE 'idle in transaction%'`
      yield* until(open, (rows) => rows[0]?.n === 0)
    })
  )
})
