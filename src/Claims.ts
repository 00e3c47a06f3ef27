/**
 * Due rows of a table, claimed in batches under a lease, so that nodes share the work. A claim moves `due_at` to the end of
 * its lease and sets a token; completing, failing or extending with another token has no effect. A lease can end while its
 * node works, so the work must be harmless when done twice. All times are the database's.
 */
import { Cause, Clock, Duration, Effect, Option, Schema } from "effect"
import { SecureRandom } from "effect/crypto"
import type { SqlClient, Statement } from "effect/sql"
import { Db, type DbError, intervalOf } from "./Db.ts"

/** Most rows of one claim; the next one takes the rest. */
export const maxClaimed = 500

/** Leaves time for a poll within the 15 s after which the work of a killed node runs again. */
export const lease = Duration.seconds(12)

/** How often long work extends its lease. After an extension that fails there is time for another. */
export const extendEvery = Duration.seconds(4)

/** Failures after which a row is dead: it stays and is never claimed. */
export const maxAttempts = 20

/** Bound of the backoff, which begins with a second and doubles. */
export const longestBackoff = "1 hour"

const maxErrorLength = 500

/** The error of a `Failure`. Anything can be thrown, also what has no text. */
export function errorOf(cause: Cause.Cause<unknown>): string {
  const [error] = Cause.prettyErrors(cause)
  return error === undefined ? "interrupted" : error.message || error.name
}

/** PostgreSQL stores no NUL character in text. */
const storableError = (error: string) => error.slice(0, maxErrorLength).replaceAll("\0", "\uFFFD")

/**
 * A claim begins where the last one ended, so that it passes no dead index entries that a long transaction keeps from vacuum,
 * but at least this long before now: time to commit a row.
 */
const commitMargin = Duration.seconds(2)

/** Interval of claims from the beginning, for rows that were committed late or locked. They take a twentieth of the time at most. */
const fullInterval = Duration.seconds(10)
const fullShare = 20

/**
 * The table has the columns `id`, `due_at`, `token`, `attempts`, `last_error` and `dead_at`, and an index on
 * `(due_at, id) where due_at is not null`. A row without `due_at` is finished or dead.
 */
export interface Table<Columns> {
  readonly name: string
  readonly idType: "bigint" | "uuid"
  /** Further columns that a claim returns, and their schema. */
  readonly columns: ReadonlyArray<string>
  readonly schema: Schema.Decoder<Columns>
  /** Assignments that complete a row. Without them it is deleted. */
  readonly completion?: string
}

export interface Claim<Columns> {
  readonly token: string
  readonly rows: ReadonlyArray<ClaimedRow<Columns>>
}

export interface ClaimedRow<Columns> {
  readonly id: string
  /** Failures so far. */
  readonly attempts: number
  readonly columns: Columns
}

export interface Failure {
  readonly id: string
  readonly error: string
}

export interface Leases {
  /** Rows are due again after their backoff, or dead after `maxAttempts`. */
  fail(
    token: string,
    failures: ReadonlyArray<Failure>
  ): Effect.Effect<{ readonly retried: number; readonly dead: number }, DbError>
  /** Extends the lease from now, and returns the rows that still have it. */
  extend(token: string, ids: ReadonlyArray<string>): Effect.Effect<ReadonlyArray<string>, DbError>
}

export interface Claims<Columns> extends Leases {
  /** At most `limit` due rows without another lease. */
  claim(limit: number): Effect.Effect<Claim<Columns>, DbError>
  /** Returns how many of the rows were completed. */
  complete(token: string, ids: ReadonlyArray<string>): Effect.Effect<number, DbError>
  /** How long until the next row is due or the next lease ends; zero if that was in the past. None without such rows. */
  readonly nextDue: Effect.Effect<Option.Option<Duration.Duration>, DbError>
  /** A condition that holds for rows that no claim has passed. It skips dead index entries, and rows that were committed late. */
  readonly isAhead: (sql: SqlClient.SqlClient) => Statement.Fragment
}

/** Where the next claim begins: microseconds since the Unix epoch, after the last claimed id with this due time. */
interface Position {
  readonly due: number
  readonly id: string | undefined
}

const Found = Schema.Struct({
  now: Schema.Finite,
  id: Schema.NullOr(Schema.String),
  due: Schema.NullOr(Schema.Finite),
  attempts: Schema.NullOr(Schema.Int)
})
const decodeFound = Schema.decodeUnknownEffect(Schema.Array(Found))
const decodeIds = Schema.decodeUnknownEffect(Schema.Array(Schema.Struct({ id: Schema.String })))
const decodeNext = Schema.decodeUnknownEffect(Schema.Array(Schema.Struct({ millis: Schema.Finite })))
const decodeFailed = Schema.decodeUnknownEffect(Schema.Array(Schema.Struct({ dead: Schema.Boolean })))

/** Leases of a table whose rows are claimed in another order. */
export function leases(db: Db["Service"], { idType, name }: Pick<Table<never>, "name" | "idType">): Leases {
  const fail = Effect.fnUntraced(function* (token: string, failures: ReadonlyArray<Failure>) {
    if (failures.length === 0) return { retried: 0, dead: 0 }
    const rows = yield* db.writeIdempotent(`${name}.fail`, (sql) =>
      sql`
        UPDATE ${sql(name)} AS t
        SET attempts = t.attempts + 1, token = NULL, last_error = f.error,
            due_at = CASE WHEN t.attempts + 1 < ${maxAttempts}
              THEN now() + least(${longestBackoff}::interval, interval '1 second' * power(2, t.attempts)) END,
            dead_at = CASE WHEN t.attempts + 1 >= ${maxAttempts} THEN now() END
        FROM unnest(
          ${failures.map(({ id }) => id)}::${sql.literal(idType)}[],
          ${failures.map(({ error }) => storableError(error))}::text[]
        ) AS f(id, error)
        WHERE t.id = f.id AND t.id = ANY(${failures.map(({ id }) => id)}::${sql.literal(idType)}[]) AND t.token = ${token}::uuid
        RETURNING t.dead_at IS NOT NULL AS dead`.pipe(
        Effect.flatMap(decodeFailed),
        Effect.catchTag("SchemaError", Effect.die)
      )
    )
    const dead = rows.filter((row) => row.dead).length
    return { retried: rows.length - dead, dead }
  })

  const extend = Effect.fnUntraced(function* (token: string, ids: ReadonlyArray<string>) {
    const rows = yield* db.writeIdempotent(`${name}.extend`, (sql) =>
      sql`
        UPDATE ${sql(name)} SET due_at = now() + ${intervalOf(lease)}::interval
        WHERE id = ANY(${ids}::${sql.literal(idType)}[]) AND token = ${token}::uuid
        RETURNING id::text AS id`.pipe(Effect.flatMap(decodeIds), Effect.catchTag("SchemaError", Effect.die))
    )
    return rows.map(({ id }) => id)
  })

  return { fail, extend }
}

export const make = Effect.fnUntraced(function* <Columns>(
  table: Table<Columns>
): Effect.fn.Return<Claims<Columns>, never, Db> {
  const db = yield* Db
  const clock = yield* Clock.Clock
  const { idType, name } = table
  const decodeColumns = Schema.decodeUnknownEffect(Schema.Array(table.schema))
  let position: Position | undefined
  /** Monotonic milliseconds of the next claim from the beginning. */
  let fullAt = -Infinity

  const now = () => Number(clock.monotonicTimeNanosUnsafe()) / 1e6

  const isAhead: Claims<Columns>["isAhead"] = (sql) => {
    if (position === undefined) return sql.literal("due_at IS NOT NULL")
    const { due, id } = position
    const at = sql`to_timestamp(${String(due)}::float8 / 1e6)`
    return id === undefined ? sql`due_at >= ${at}` : sql`(due_at, id) > (${at}, ${id}::${sql.literal(idType)})`
  }

  const claim = Effect.fnUntraced(function* (limit: number) {
    const token = SecureRandom.uuidV4Unsafe()
    const began = now()
    const isFull = began >= fullAt
    if (isFull) position = undefined
    const claimed = yield* db.write(`${name}.claim`, (sql) =>
      sql`
        WITH due AS (
          SELECT ctid, id, due_at FROM ${sql(name)} WHERE due_at <= now() AND ${isAhead(sql)}
          ORDER BY due_at, id LIMIT ${limit} FOR UPDATE SKIP LOCKED
        ), claimed AS (
          UPDATE ${sql(name)} SET due_at = now() + ${intervalOf(lease)}::interval, token = ${token}::uuid
          WHERE ctid = ANY(ARRAY(SELECT ctid FROM due))
          RETURNING id AS row_id, attempts, ${sql.literal(table.columns.join(", "))}
        ), ordered AS (
          SELECT due.due_at AS was_due, claimed.* FROM claimed JOIN due ON due.id = row_id
        )
        SELECT (extract(epoch FROM now()) * 1e6)::float8 AS now, row_id::text AS id,
               (extract(epoch FROM was_due) * 1e6)::float8 AS due, ordered.*
        FROM (SELECT) AS one LEFT JOIN ordered ON true ORDER BY was_due, row_id`.pipe(
        Effect.flatMap((rows) => Effect.all([decodeFound(rows), decodeColumns(rows[0]?.["id"] === null ? [] : rows)])),
        Effect.catchTag("SchemaError", Effect.die)
      )
    )
    const [found, columns] = claimed
    if (isFull) fullAt = now() + Math.max(Duration.toMillis(fullInterval), fullShare * (now() - began))
    const rows = found.flatMap(({ attempts, id }, index): ReadonlyArray<ClaimedRow<Columns>> => {
      const own = columns[index]
      return id === null || own === undefined ? [] : [{ id, attempts: attempts ?? 0, columns: own }]
    })
    const last = rows.length < limit ? undefined : found.at(-1)
    const margin = (found[0]?.now ?? 0) - Duration.toMillis(commitMargin) * 1e3
    position =
      last?.due != null && last.id !== null && last.due < margin
        ? { due: last.due, id: last.id }
        : { due: margin, id: undefined }
    return { token, rows }
  })

  const complete = Effect.fnUntraced(function* (token: string, ids: ReadonlyArray<string>) {
    if (ids.length === 0) return 0
    const rows = yield* db.writeIdempotent(`${name}.complete`, (sql) => {
      const own = sql`id = ANY(${ids}::${sql.literal(idType)}[]) AND token = ${token}::uuid`
      return table.completion === undefined
        ? sql`DELETE FROM ${sql(name)} WHERE ${own} RETURNING 1`
        : sql`
            UPDATE ${sql(name)} SET due_at = NULL, token = NULL, last_error = NULL, ${sql.literal(table.completion)}
            WHERE ${own} RETURNING 1`
    })
    return rows.length
  })

  const nextDue = Effect.suspend(() =>
    db.read(`${name}.nextDue`, (sql) =>
      sql`
        SELECT greatest(extract(epoch FROM due_at - clock_timestamp()) * 1e3, 0)::float8 AS millis
        FROM ${sql(name)} WHERE due_at IS NOT NULL AND ${isAhead(sql)} ORDER BY due_at, id LIMIT 1`.pipe(
        Effect.flatMap(decodeNext),
        Effect.catchTag("SchemaError", Effect.die)
      )
    )
  ).pipe(
    Effect.map(([row]) => Option.map(Option.fromUndefinedOr(row), ({ millis }) => Duration.millis(Math.ceil(millis))))
  )

  return { claim, complete, ...leases(db, table), nextDue, isAhead }
})
