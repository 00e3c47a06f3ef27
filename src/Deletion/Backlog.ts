/** Counts of tombstones, whose cost is bounded whatever the backlog. */
import { Duration, Effect, Schema } from "effect"
import type { SqlClient, Statement } from "effect/sql"
import type * as Claims from "../Claims.ts"
import { Db } from "../Db.ts"

/** Rows are counted up to this number, so that a count costs the same whatever the backlog. */
export const maxCounted = 10_000

export interface Backlog {
  /** Above `maxCounted` the database's own count of live rows, some seconds old and not exact. */
  readonly pending: number
  /** At most `maxCounted`. */
  readonly due: number
  /** How long the oldest due tombstone has been due; zero without one. */
  readonly oldestDue: Duration.Duration
  /** At most `maxCounted`. */
  readonly dead: number
}

/** Pending tombstones that are not due yet, by when they will be. Each counted to `maxCounted`. */
const DueTimes = Schema.Struct({ minute: Schema.Int, hour: Schema.Int, day: Schema.Int, later: Schema.Int })
export type DueTimes = typeof DueTimes.Type

const Counts = Schema.Struct({
  pending: Schema.Int,
  estimate: Schema.Finite,
  due: Schema.Int,
  oldest: Schema.NullOr(Schema.Finite),
  dead: Schema.Int
})
const decodeDueTimes = Schema.decodeUnknownEffect(Schema.Tuple([DueTimes]))
const decodeCounts = Schema.decodeUnknownEffect(Schema.Tuple([Counts]))

/** With `isAhead`, counts skip the dead index entries that claims have passed. */
export const make = Effect.fnUntraced(function* ({ isAhead }: Pick<Claims.Claims<unknown>, "isAhead">) {
  const db = yield* Db

  /** The order makes the planner read an index, whatever the statistics say. */
  const countOf = (sql: SqlClient.SqlClient, condition: Statement.Fragment, at: string) => sql`(
    SELECT count(*)::int
    FROM (SELECT FROM tombstones WHERE ${condition} ORDER BY ${sql(at)}, id LIMIT ${maxCounted}) AS counted
  )`

  const backlog = Effect.suspend(() =>
    db.read("Tombstones.backlog", (sql) => {
      const due = sql`${isAhead(sql)} AND due_at <= now()`
      return sql`
        SELECT ${countOf(sql, isAhead(sql), "due_at")} AS pending, ${countOf(sql, due, "due_at")} AS due,
          ${countOf(sql, sql`dead_at IS NOT NULL`, "dead_at")} AS dead,
          (SELECT extract(epoch FROM now() - due_at)::float8 FROM tombstones WHERE ${due} ORDER BY due_at, id LIMIT 1) AS oldest,
          pg_stat_get_live_tuples('tombstones'::regclass)::float8 AS estimate`.pipe(
        Effect.flatMap(decodeCounts),
        Effect.catchTag("SchemaError", Effect.die)
      )
    })
  ).pipe(
    Effect.map(([{ dead, due, estimate, oldest, pending }]): Backlog => ({
      pending: pending < maxCounted ? pending : Math.max(pending, Math.round(estimate - dead)),
      due,
      dead,
      oldestDue: Duration.seconds(oldest ?? 0)
    }))
  )

  const dueTimes = Effect.map(
    db.read("Tombstones.dueTimes", (sql) => {
      const between = (after: string, until: string) =>
        countOf(sql, sql`due_at > now() + ${after}::interval AND due_at <= now() + ${until}::interval`, "due_at")
      return sql`
        SELECT ${between("0", "1 minute")} AS minute, ${between("1 minute", "1 hour")} AS hour,
               ${between("1 hour", "1 day")} AS day,
               ${countOf(sql, sql`due_at > now() + interval '1 day'`, "due_at")} AS later`.pipe(
        Effect.flatMap(decodeDueTimes),
        Effect.catchTag("SchemaError", Effect.die)
      )
    }),
    ([times]) => times
  )

  return { backlog, dueTimes }
})
