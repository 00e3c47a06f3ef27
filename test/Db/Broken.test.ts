/** `src/Db` on connections that break: writes are neither lost nor repeated, and every caller is answered. */
import { assert, layer } from "@effect/vitest"
import { Deferred, Duration, Effect, Exit, Fiber } from "effect"
import { SqlClient } from "effect/sql"
import { DbTimeout } from "../../src/Db.ts"
import { DbServer } from "../../src/Db/DbServer.ts"
import * as Postgres from "../support/Postgres.ts"
import { dbOn } from "./support/Fixture.ts"
import { keepsPromises } from "./support/Kills.ts"
import * as Proxy from "./support/Proxy.ts"

/** A pool through a proxy, and an empty table whose rows are counted on a direct connection. */
const setUp = Effect.fnUntraced(function* (changes: Parameters<typeof dbOn>[1] = {}) {
  const sql = yield* SqlClient.SqlClient
  yield* sql`DROP TABLE IF EXISTS ledger`
  yield* sql`CREATE TABLE ledger (id int NOT NULL)`
  const { proxy, server } = yield* Proxy.through(yield* DbServer)
  const { db } = yield* dbOn(server, changes)
  const rows = Effect.map(sql<{ n: number }>`SELECT count(*)::int AS n FROM ledger`, (rows) => rows[0]?.n)
  const idle = Effect.map(
    sql<{ n: number }>`
      SELECT count(*)::int AS n FROM pg_stat_activity
      WHERE datname = current_database() AND state LIKE 'idle in transaction%'`,
    (rows) => rows[0]?.n
  )
  /** Breaks the connection the first time that the client sends `mark`. */
  const once = (mark: string, verdict: Proxy.Verdict) => {
    let done = false
    proxy.onClient = (text) => {
      if (done || !text.includes(mark)) return "pass"
      done = true
      return verdict
    }
  }
  return { db, proxy, rows, idle, once }
})

const insert = (sql: SqlClient.SqlClient) => sql`INSERT INTO ledger (id) VALUES (1)`

layer(Postgres.layer, { excludeTestServices: true })("Db on a broken connection", (it) => {
  it.effect("applies a write at most once", () =>
    Effect.gen(function* () {
      const { db, once, rows } = yield* setUp()
      once("INSERT", "breakAfter")
      const error = yield* Effect.flip(db.write("Test.insert", insert))
      assert.deepInclude(error, { _tag: "DbUnavailable", attempts: 1 })
      assert.strictEqual(yield* rows, 1)
    })
  )

  it.effect("runs an idempotent write again", () =>
    Effect.gen(function* () {
      const { db, once, rows } = yield* setUp()
      once("INSERT", "breakAfter")
      yield* db.writeIdempotent("Test.insert", insert)
      assert.strictEqual(yield* rows, 2)
    })
  )

  it.effect("runs a transaction again when it breaks before its COMMIT", () =>
    Effect.gen(function* () {
      const { db, once, rows } = yield* setUp()
      once("INSERT", "breakAfter")
      yield* db.transaction("Test.insert", insert)
      assert.strictEqual(yield* rows, 1)
      once("BEGIN", "breakAfter")
      yield* db.transaction("Test.insert", insert)
      assert.strictEqual(yield* rows, 2)
    })
  )

  it.effect("does not guess whether a COMMIT was applied", () =>
    Effect.gen(function* () {
      for (const [verdict, expected] of [
        ["breakAfter", 1],
        ["breakBefore", 0]
      ] as const) {
        const { db, once, rows } = yield* setUp()
        once("COMMIT", verdict)
        const error = yield* Effect.flip(db.transaction("Test.insert", insert))
        assert.deepInclude(error, { _tag: "DbUnavailable", attempts: 1 })
        assert.strictEqual(yield* rows, expected)
      }
    })
  )

  it.effect("runs an idempotent transaction again, even when its COMMIT breaks", () =>
    Effect.gen(function* () {
      const { db, once, rows } = yield* setUp()
      once("COMMIT", "breakAfter")
      yield* db.transactionIdempotent("Test.insert", insert)
      assert.strictEqual(yield* rows, 2)
    })
  )

  it.effect("rolls back a BEGIN whose caller is interrupted while it is sent", () =>
    Effect.gen(function* () {
      const { db, idle, proxy } = yield* setUp()
      const sent = yield* Deferred.make<void>()
      proxy.onClient = (text) => {
        if (text.includes("BEGIN")) Deferred.doneUnsafe(sent, Exit.void)
        return "pass"
      }
      const fiber = yield* Effect.forkChild(db.transaction("Test.insert", insert))
      yield* Deferred.await(sent)
      yield* Fiber.interrupt(fiber)
      assert.strictEqual(yield* idle, 0)
    })
  )

  it.effect("rolls back when the caller is interrupted just before the COMMIT", () =>
    Effect.gen(function* () {
      const { db, idle, rows } = yield* setUp()
      const fiber = yield* Effect.forkChild(
        db.transaction("Test.insert", (sql) =>
          Effect.andThen(
            insert(sql),
            Effect.withFiber((self) => Effect.sync(() => self.interruptUnsafe()))
          )
        )
      )
      yield* Effect.exit(Fiber.join(fiber))
      assert.strictEqual(yield* idle, 0)
      assert.strictEqual(yield* rows, 0)
    })
  )

  it.effect("fails in time on a half-open connection, and replaces it", () =>
    Effect.gen(function* () {
      const limits = { pool: 1, statementTimeout: Duration.millis(1500), deadline: Duration.seconds(60) }
      const inWrite = yield* setUp(limits)
      const inCommit = yield* setUp(limits)
      yield* inWrite.db.write("Test.insert", insert)
      inWrite.proxy.freeze()
      inCommit.once("COMMIT", "silence")
      const [took, exits] = yield* Effect.timed(
        Effect.all(
          [
            Effect.exit(inWrite.db.write("Test.insert", insert)),
            Effect.exit(inCommit.db.transaction("Test.insert", insert))
          ],
          { concurrency: 2 }
        )
      )
      const timeout = Exit.fail(new DbTimeout({ operation: "Test.insert", limit: "statement" }))
      assert.deepStrictEqual(exits, [timeout, timeout])
      assert.isBelow(Duration.toMillis(took), Duration.toMillis(limits.deadline) / 2)
      yield* Effect.all([inWrite.db.write("Test.insert", insert), inCommit.db.write("Test.insert", insert)], {
        concurrency: 2
      })
      assert.strictEqual(yield* inWrite.rows, 3)
    })
  )

  it.effect("loses and duplicates nothing while the server ends connections at random", () =>
    Effect.gen(function* () {
      const { db } = yield* setUp({ pool: 8, retryBase: Duration.millis(10) })
      yield* keepsPromises(db, yield* SqlClient.SqlClient)
    })
  )
})
