/** Writes of all kinds while the server ends their sessions at random. The writes pace the kills, on any machine. */
import { assert } from "@effect/vitest"
import { Effect, Queue, Random } from "effect"
import type { SqlClient } from "effect/sql"
import type { Db } from "../../../src/Db.ts"

/** Each kill follows so many confirmed writes at most. */
const mostBetween = 6

/** Nothing is applied twice, and nothing confirmed is lost. `sql` is another connection to the database, and ends sessions. */
export const keepsPromises = (db: Db["Service"], sql: SqlClient.SqlClient) =>
  Effect.gen(function* () {
    yield* sql`CREATE TABLE promised (id int NOT NULL, kind text NOT NULL)`
    const kinds = ["write", "writeIdempotent", "transaction", "transactionIdempotent"] as const
    const confirmed = new Set<string>()
    const confirmations = yield* Queue.unbounded<string>()
    const confirm = (key: string) => {
      confirmed.add(key)
      Queue.offerUnsafe(confirmations, key)
    }
    const write = (id: number) => {
      const kind = kinds[id % kinds.length] ?? "write"
      return db[kind](`Test.${kind}`, (sql) =>
        kind.endsWith("Idempotent")
          ? sql`
              INSERT INTO promised SELECT ${id}::int, ${kind}
              WHERE NOT EXISTS (SELECT FROM promised WHERE id = ${id}) RETURNING pg_sleep(0.001)::text`
          : sql`INSERT INTO promised VALUES (${id}, ${kind}) RETURNING pg_sleep(0.001)::text`
      ).pipe(
        Effect.tap(() => Effect.sync(() => confirm(`${id} ${kind}`))),
        Effect.catchTag("DbUnavailable", (error) =>
          Effect.sync(() => {
            if (kind.endsWith("Idempotent")) assert.strictEqual(error.attempts, 6)
          })
        )
      )
    }
    const kill = sql`
      SELECT pg_terminate_backend(pid) FROM pg_stat_activity
      WHERE datname = current_database() AND application_name = 'spillway' AND pid <> pg_backend_pid()
      ORDER BY random() LIMIT 1`
    let kills = 0
    const killer = Random.nextIntBetween(1, mostBetween).pipe(
      Effect.flatMap((writes) => Queue.takeN(confirmations, writes)),
      Effect.andThen(kill),
      Effect.map((rows) => (kills += rows.length)),
      Effect.repeat({ until: () => kills >= 40 })
    )
    let id = 0
    const next = Effect.suspend(() => write(id++))
    const writer = Effect.repeat(next, { while: () => kills < 40 || confirmed.size < 100 })
    yield* Effect.all([killer, ...Array.from({ length: 16 }, () => writer)], { concurrency: "unbounded" })
    const stored = yield* sql<{ key: string; n: number }>`
      SELECT id || ' ' || kind AS key, count(*)::int AS n FROM promised GROUP BY id, kind`
    const doubled = stored.filter(({ n }) => n > 1)
    assert.deepStrictEqual(doubled, [])
    const keys = new Set(stored.map(({ key }) => key))
    assert.deepStrictEqual(
      [...confirmed].filter((key) => !keys.has(key)),
      []
    )
    assert.isAtLeast(confirmed.size, 100)
  })
