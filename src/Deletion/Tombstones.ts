/** The rows of tombstones: which objects are to be deleted, and when. */
import { Context, Duration, Effect, Layer, Schema } from "effect"
import type { SqlClient } from "effect/sql"
import * as Claims from "../Claims.ts"
import { Db, type DbError, intervalOf } from "../Db.ts"
import * as Backlog from "./Backlog.ts"

/**
 * The generation of a tombstone for whatever its key has when it is due. It can be scheduled before the object exists, under a
 * key that is used once.
 */
export const anyGeneration = ""

/** An object to delete, which `uid` owns. A later object with the same key has another generation, and stays. */
export interface DoomedObject {
  readonly key: string
  /** Or `anyGeneration`. */
  readonly generation: string
  readonly uid: string
}

/** An object of a tombstone that was scheduled before it exists is made within this time, or never. */
const longestMaking = Duration.hours(1)

/** `pending`: the object is to be deleted. `dead`: its deletion has failed 20 times, and is not retried. */
export type State = "pending" | "dead"

export interface Tombstone extends DoomedObject {
  readonly id: string
  readonly state: State
  /** When it is due or its lease ends, or when it died. */
  readonly at: Date
  readonly createdAt: Date
  /** Failures so far. */
  readonly attempts: number
  readonly lastError: string | undefined
}

export interface Page {
  readonly tombstones: ReadonlyArray<Tombstone>
  /** The `after` of the next page; none on the last page. */
  readonly next: string | undefined
}

/** Pages of pending tombstones are in order of their due time; of dead ones, in order of their death. */
export interface Filter {
  readonly state: State
  readonly uid?: string | undefined
  /** The `next` of the previous page. */
  readonly after?: string | undefined
  readonly limit: number
}

export class Tombstones extends Context.Service<
  Tombstones,
  Pick<Claims.Claims<DoomedObject>, "claim" | "complete" | "fail" | "extend" | "nextDue"> & {
    /**
     * Joins the transaction of the caller, if there is one. Objects that have a tombstone get this due time and all attempts.
     * `committed` runs after the commit.
     */
    schedule(
      objects: ReadonlyArray<DoomedObject>,
      after: Duration.Duration,
      committed: Effect.Effect<void>
    ): Effect.Effect<void, DbError>
    /** Removes tombstones whose deletion has not begun, and returns how many. */
    cancel(objects: ReadonlyArray<Pick<DoomedObject, "key" | "generation">>): Effect.Effect<number, DbError>
    list(filter: Filter): Effect.Effect<Page, DbError>
    /** Makes it due now, with all attempts. False if there is no such tombstone, or its deletion has begun. */
    retry(id: string): Effect.Effect<boolean, DbError>
    /** Removes the tombstone; the object stays. False as for `retry`. */
    cancelById(id: string): Effect.Effect<boolean, DbError>
    /**
     * Removes up to `limit` tombstones of keys that begin with a prefix, which ends in `/`. Of those of `anyGeneration`, whose
     * objects may be about to be made, as many become due within an hour instead. Returns how many were removed or hastened.
     */
    removeUnder(prefix: string, limit: number): Effect.Effect<number, DbError>
    readonly backlog: Effect.Effect<Backlog.Backlog, DbError>
    readonly dueTimes: Effect.Effect<Backlog.DueTimes, DbError>
  }
>()("spillway/Deletion/Tombstones") {
  static readonly layer = Layer.effect(
    Tombstones,
    Effect.suspend(() => make)
  )
}

const table: Claims.Table<DoomedObject> = {
  name: "tombstones",
  idType: "bigint",
  columns: ["key", "generation", "uid"],
  schema: Schema.Struct({ key: Schema.String, generation: Schema.String, uid: Schema.String })
}

const Row = Schema.Struct({
  id: Schema.String,
  key: Schema.String,
  generation: Schema.String,
  uid: Schema.String,
  at: Schema.Date,
  micros: Schema.String,
  created_at: Schema.Date,
  attempts: Schema.Int,
  last_error: Schema.NullOr(Schema.String)
})
const decodeRows = Schema.decodeUnknownEffect(Schema.Array(Row))

/** No claim holds the row. */
const isFree = (sql: SqlClient.SqlClient) => sql`(token IS NULL OR due_at <= now())`

const columnOf = { pending: "due_at", dead: "dead_at" } as const

const make = Effect.gen(function* () {
  const db = yield* Db
  const claims = yield* Claims.make(table)
  const { backlog, dueTimes } = yield* Backlog.make(claims)

  const schedule: Tombstones["Service"]["schedule"] = Effect.fn("Tombstones.schedule")(
    function* (objects, after, committed) {
      if (objects.length === 0) return
      yield* db.writeIdempotent("Tombstones.schedule", (sql) =>
        Effect.andThen(
          // In order of keys, so that two transactions do not deadlock.
          sql`
            INSERT INTO tombstones (key, generation, uid, due_at)
            SELECT DISTINCT ON (key, generation) key, generation, uid, due_at
            FROM unnest(
              ${objects.map(({ key }) => key)}::text[],
              ${objects.map(({ generation }) => generation)}::text[],
              ${objects.map(({ uid }) => uid)}::text[]
            ) AS o(key, generation, uid),
            (SELECT clock_timestamp() + ${intervalOf(after)}::interval) AS d(due_at)
            ORDER BY key, generation
            ON CONFLICT (key, generation) DO UPDATE
            SET due_at = excluded.due_at, attempts = 0, token = NULL, last_error = NULL, dead_at = NULL`,
          sql.afterCommit(committed)
        )
      )
    }
  )

  const cancel: Tombstones["Service"]["cancel"] = Effect.fn("Tombstones.cancel")(function* (objects) {
    const rows = yield* db.writeIdempotent(
      "Tombstones.cancel",
      (sql) => sql`
        DELETE FROM tombstones t
        USING unnest(
          ${objects.map(({ key }) => key)}::text[], ${objects.map(({ generation }) => generation)}::text[]
        ) AS o(key, generation)
        WHERE t.key = o.key AND t.generation = o.generation AND ${isFree(sql)} RETURNING 1`
    )
    return rows.length
  })

  const list = Effect.fn("Tombstones.list")(function* ({ after, limit, state, uid }: Filter) {
    const [micros = "", afterId = ""] = after?.split("-") ?? []
    const rows = yield* db.read("Tombstones.list", (sql) => {
      const at = sql(columnOf[state])
      const ofUser = uid === undefined ? sql`` : sql`AND uid = ${uid}`
      const rest =
        after === undefined ? sql`` : sql`AND (${at}, id) > (to_timestamp(${micros}::float8 / 1e6), ${afterId}::bigint)`
      return sql`
        SELECT id::text AS id, key, generation, uid, ${at} AS at, created_at, attempts, last_error,
               (extract(epoch FROM ${at}) * 1e6)::bigint::text AS micros
        FROM tombstones WHERE ${at} IS NOT NULL ${ofUser} ${rest}
        ORDER BY tombstones.${at}, tombstones.id LIMIT ${limit + 1}`.pipe(
        Effect.flatMap(decodeRows),
        Effect.catchTag("SchemaError", Effect.die)
      )
    })
    const page = rows.slice(0, limit)
    const last = rows.length > limit ? page.at(-1) : undefined
    return {
      tombstones: page.map(({ at, attempts, created_at, generation, id, key, last_error, uid }) => ({
        id,
        key,
        generation,
        uid,
        state,
        at,
        createdAt: created_at,
        attempts,
        lastError: last_error ?? undefined
      })),
      next: last === undefined ? undefined : `${last.micros}-${last.id}`
    }
  })

  const retry = Effect.fn("Tombstones.retry")(function* (id: string) {
    const rows = yield* db.writeIdempotent(
      "Tombstones.retry",
      (sql) => sql`
        UPDATE tombstones SET due_at = now(), attempts = 0, token = NULL, dead_at = NULL
        WHERE id = ${id}::bigint AND ${isFree(sql)} RETURNING 1`
    )
    return rows.length > 0
  })

  const cancelById = Effect.fn("Tombstones.cancelById")(function* (id: string) {
    const rows = yield* db.writeIdempotent(
      "Tombstones.cancelById",
      (sql) => sql`DELETE FROM tombstones WHERE id = ${id}::bigint AND ${isFree(sql)} RETURNING 1`
    )
    return rows.length > 0
  })

  const removeUnder = Effect.fn("Tombstones.removeUnder")(function* (prefix: string, limit: number) {
    // The keys with the prefix are those between it and `end`, because `0` follows `/`.
    const end = `${prefix.slice(0, -1)}0`
    const soon = intervalOf(longestMaking)
    const rows = yield* db.writeIdempotent("Tombstones.removeUnder", (sql) => {
      const isUnder = sql`key >= ${prefix} AND key < ${end}`
      return sql`
        WITH removed AS (
          DELETE FROM tombstones WHERE id = ANY(ARRAY(
            SELECT id FROM tombstones WHERE ${isUnder} AND generation <> ${anyGeneration} LIMIT ${limit}
          ))
          RETURNING 1
        ), hastened AS (
          UPDATE tombstones SET due_at = now() + ${soon}::interval WHERE id = ANY(ARRAY(
            SELECT id FROM tombstones
            WHERE ${isUnder} AND generation = ${anyGeneration} AND due_at > now() + ${soon}::interval LIMIT ${limit}
          ))
          RETURNING 1
        )
        SELECT 1 FROM removed UNION ALL SELECT 1 FROM hastened`
    })
    return rows.length
  })

  const { claim, complete, extend, fail, nextDue } = claims
  return Tombstones.of({
    claim,
    complete,
    extend,
    fail,
    nextDue,
    schedule,
    cancel,
    list,
    retry,
    cancelById,
    removeUnder,
    backlog,
    dueTimes
  })
})
