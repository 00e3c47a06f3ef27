/** Claims on a real database. */
import { assert, layer } from "@effect/vitest"
import { Deferred, Duration, Effect, Exit, Fiber, Option, Schema } from "effect"
import { SqlClient } from "effect/sql"
import { TestClock } from "effect/testing"
import * as Claims from "../src/Claims.ts"
import { Db } from "../src/Db.ts"
import * as Postgres from "./support/Postgres.ts"

const Word = Schema.Struct({ word: Schema.String })

/** A fresh table with rows that became due `due` seconds ago, each with its position as its id. */
const rowsDue = Effect.fnUntraced(function* (
  name: string,
  due: ReadonlyArray<number>,
  options: { completion?: string } = {}
) {
  const sql = yield* SqlClient.SqlClient
  yield* sql`
    CREATE TABLE ${sql(name)} (
      id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, word text NOT NULL, due_at timestamptz, token uuid,
      attempts integer NOT NULL DEFAULT 0, last_error text, dead_at timestamptz, finished_at timestamptz
    )`
  yield* sql`CREATE INDEX ON ${sql(name)} (due_at, id) WHERE due_at IS NOT NULL`
  yield* sql`
    INSERT INTO ${sql(name)} (word, due_at)
    SELECT 'w' || n, now() - make_interval(secs => s) FROM unnest(${due.map(String)}::text[]::float8[]) WITH ORDINALITY AS o(s, n) ORDER BY n`
  const table = { name, idType: "bigint", columns: ["word"], schema: Word, ...options } as const
  return { sql, claims: yield* Claims.make(table), other: yield* Claims.make(table), table: sql(name) }
})

const idsOf = ({ rows }: Claims.Claim<typeof Word.Type>) => rows.map(({ id }) => id)

const endLeases = (name: string) =>
  Effect.flatMap(
    SqlClient.SqlClient,
    (sql) => sql`UPDATE ${sql(name)} SET due_at = now() - interval '1 millisecond' WHERE due_at IS NOT NULL`
  )

layer(Postgres.layer, { excludeTestServices: true })("Claims", (it) => {
  it.effect("returns due rows in the order in which they became due, and no row that is not due", () =>
    Effect.gen(function* () {
      const { claims } = yield* rowsDue("ordered", [1, 30, -60, 20, 20])
      const claim = yield* claims.claim(10)
      assert.deepStrictEqual(
        claim.rows.map(({ attempts, columns, id }) => [id, columns.word, attempts]),
        [
          ["2", "w2", 0],
          ["4", "w4", 0],
          ["5", "w5", 0],
          ["1", "w1", 0]
        ]
      )
    })
  )

  it.effect("gives a row to one of the claims that run at the same time, and again when its lease ends", () =>
    Effect.gen(function* () {
      const { claims, other } = yield* rowsDue(
        "shared",
        Array.from({ length: 1_000 }, (_, n) => 60 + n / 100)
      )
      const all = yield* Effect.all(
        Array.from({ length: 12 }, (_, n) => (n % 2 === 0 ? claims : other).claim(100)),
        { concurrency: "unbounded" }
      )
      const ids = all.flatMap(idsOf)
      assert.strictEqual(new Set(ids).size, ids.length)
      const rest = yield* Effect.all([claims.claim(1_000), other.claim(1_000)])
      assert.strictEqual(ids.length + rest.flatMap(idsOf).length, 1_000)
      assert.deepStrictEqual((yield* other.claim(10)).rows, [])
      yield* endLeases("shared")
      assert.strictEqual((yield* other.claim(2_000)).rows.length, 1_000)
    })
  )

  it.effect("does nothing for a claim whose row has another token", () =>
    Effect.gen(function* () {
      const { claims, other, sql, table } = yield* rowsDue("fenced", [10, 9])
      const old = yield* claims.claim(10)
      yield* endLeases("fenced")
      const current = yield* other.claim(1)
      const state = sql`SELECT id::text, token::text, attempts, due_at, dead_at FROM ${table} ORDER BY id`
      const before = yield* state
      const [taken = ""] = idsOf(current)
      assert.strictEqual(yield* claims.complete(old.token, [taken]), 0)
      assert.deepStrictEqual(yield* claims.fail(old.token, [{ id: taken, error: "late" }]), { retried: 0, dead: 0 })
      assert.deepStrictEqual(yield* claims.extend(old.token, idsOf(old)), ["2"])
      const after = yield* state
      assert.deepStrictEqual(after[0], before[0])
      assert.strictEqual(yield* claims.complete(old.token, ["2"]), 1)
      assert.strictEqual(yield* other.complete(current.token, [taken]), 1)
      assert.deepStrictEqual(yield* state, [])
    })
  )

  it.effect("retries a failed row after a backoff that doubles to an hour, and gives it up after 20 failures", () =>
    Effect.gen(function* () {
      const { claims, sql, table } = yield* rowsDue("failing", [10])
      const waits: Array<number> = []
      for (let n = 1; n < Claims.maxAttempts; n++) {
        const claim = yield* claims.claim(10)
        assert.strictEqual(claim.rows[0]?.attempts, n - 1)
        assert.deepStrictEqual(yield* claims.fail(claim.token, [{ id: "1", error: "x".repeat(2_000) }]), {
          retried: 1,
          dead: 0
        })
        const next = Option.getOrThrow(yield* claims.nextDue)
        waits.push(Math.round(Duration.toSeconds(next) * 10) / 10)
        yield* endLeases("failing")
      }
      const expected = Array.from({ length: Claims.maxAttempts - 1 }, (_, n) => Math.min(2 ** n, 3_600))
      assert.isTrue(
        waits.every((wait, n) => Math.abs(wait - (expected[n] ?? 0)) <= 1),
        `${waits}`
      )
      const last = yield* claims.claim(10)
      assert.deepStrictEqual(yield* claims.fail(last.token, [{ id: "1", error: "the last" }]), { retried: 0, dead: 1 })
      assert.isTrue(Option.isNone(yield* claims.nextDue))
      const rows = yield* sql`
        SELECT due_at, attempts, last_error, dead_at IS NOT NULL AS dead, token FROM ${table}`
      assert.deepStrictEqual(rows, [{ due_at: null, attempts: 20, last_error: "the last", dead: true, token: null }])
    })
  )

  it.effect("writes a failure of each row, whatever characters its error has", () =>
    Effect.gen(function* () {
      const { claims, sql, table } = yield* rowsDue("odd", [10, 9])
      const { token } = yield* claims.claim(10)
      const failures = [
        { id: "1", error: "a\u0000b" },
        { id: "2", error: `${"x".repeat(499)}😀` }
      ]
      assert.deepStrictEqual(yield* claims.fail(token, failures), { retried: 2, dead: 0 })
      const rows = yield* sql`SELECT last_error FROM ${table} ORDER BY id`
      assert.deepStrictEqual(rows[0], { last_error: "a\uFFFDb" })
    })
  )

  it.effect("keeps a completed row with the assignments of its table", () =>
    Effect.gen(function* () {
      const { claims, sql, table } = yield* rowsDue("kept", [10], { completion: "finished_at = now()" })
      const { token } = yield* claims.claim(10)
      assert.strictEqual(yield* claims.complete(token, ["1"]), 1)
      const rows = yield* sql`SELECT due_at, token, finished_at IS NOT NULL AS finished FROM ${table}`
      assert.deepStrictEqual(rows, [{ due_at: null, token: null, finished: true }])
      assert.deepStrictEqual((yield* claims.claim(10)).rows, [])
    })
  )

  it.effect("tells how long until the next row is due, and zero when one is", () =>
    Effect.gen(function* () {
      const { claims, sql, table } = yield* rowsDue("waiting", [-40, -20])
      const wait = Duration.toSeconds(Option.getOrThrow(yield* claims.nextDue))
      assert.isTrue(wait > 15 && wait <= 20, `${wait}`)
      yield* sql`UPDATE ${table} SET due_at = now() - interval '1 second' WHERE id = 1`
      assert.strictEqual(Duration.toMillis(Option.getOrThrow(yield* claims.nextDue)), 0)
    })
  )

  it.effect(
    "does not pass the dead rows of earlier claims again while a transaction keeps them from being removed",
    () =>
      Effect.gen(function* () {
        const { claims, sql, table } = yield* rowsDue(
          "bloated",
          Array.from({ length: 20_000 }, () => 60)
        )
        const begun = yield* Deferred.make<void>()
        const holding = Effect.andThen(sql`SELECT txid_current()::text`, Deferred.done(begun, Exit.void))
        const held = yield* Effect.forkChild(sql.withTransaction(Effect.andThen(holding, Effect.never)))
        yield* Deferred.await(begun)
        for (let claim = yield* claims.claim(500); claim.rows.length > 0; claim = yield* claims.claim(500))
          assert.strictEqual(yield* claims.complete(claim.token, idsOf(claim)), 500)
        yield* sql`INSERT INTO ${table} (word, due_at) VALUES ('next', now())`
        // In one session, whose counts include what it read before.
        const [before, claim, after] = yield* (yield* Db).transaction("Test.claim", (sql) => {
          const read = sql<{ n: number }>`
          SELECT pg_stat_get_xact_tuples_returned('bloated_due_at_id_idx'::regclass)::int AS n`
          return Effect.all([read, claims.claim(500), read])
        })
        assert.strictEqual(claim.rows[0]?.columns.word, "next")
        assert.isBelow((after[0]?.n ?? Infinity) - (before[0]?.n ?? 0), 600, "entries of the index that the claim read")
        yield* Fiber.interrupt(held)
      })
  )
})

layer(Postgres.layer, { excludeTestServices: true })(
  "A row that is committed after a claim has passed its place",
  (it) => {
    it.effect("is claimed within ten seconds", () =>
      Effect.gen(function* () {
        const { claims, sql, table } = yield* rowsDue("late", [1])
        assert.deepStrictEqual(idsOf(yield* claims.claim(10)), ["1"])
        yield* sql`INSERT INTO ${table} (word, due_at) VALUES ('late', now() - interval '9 seconds')`
        assert.deepStrictEqual((yield* claims.claim(10)).rows, [])
        yield* TestClock.adjust("10 seconds")
        assert.deepStrictEqual(idsOf(yield* claims.claim(10)), ["2"])
      }).pipe(Effect.provide(TestClock.layer()))
    )
  }
)
