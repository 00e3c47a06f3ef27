/** Conversations whose retention has ended, by user. */
import { Context, Effect, Layer, Schema } from "effect"
import type { SqlClient } from "effect/sql"
import { Db, type DbError } from "../../Db.ts"

const Row = Schema.Struct({ uid: Schema.String, conversations: Schema.Array(Schema.String) })
export type ExpiredOfUser = typeof Row.Type
const decode = Schema.decodeUnknownEffect(Schema.Array(Row))

export interface Query {
  /** Only users with later ids. */
  readonly after: string
  readonly users: number
  /** Most conversations of a user, those that ended first. */
  readonly each: number
  /** For users without a setting of their own; 0 for ever. */
  readonly defaultDays: number
}

export class RetentionRows extends Context.Service<
  RetentionRows,
  {
    /** The next `users` users in order of their ids. Leaves out conversations with an unfinished purge. */
    expired(query: Query): Effect.Effect<ReadonlyArray<ExpiredOfUser>, DbError>
    /** Purges that have started and are not over or dead; counted to `limit`. */
    started(limit: number): Effect.Effect<number, DbError>
  }
>()("spillway/Purges/Retention/RetentionRows") {
  static readonly layer = Layer.effect(
    RetentionRows,
    Effect.suspend(() => make)
  )
}

/** One index probe for each user: all that have conversations. */
const allUsers = (sql: SqlClient.SqlClient, { after, users }: Query) => sql`
  WITH RECURSIVE owners AS (
    SELECT (SELECT min(c.uid) FROM conversations c WHERE c.uid > ${after}) AS uid, 1 AS n
    UNION ALL
    SELECT (SELECT min(c.uid) FROM conversations c WHERE c.uid > o.uid), o.n + 1
    FROM owners o WHERE o.uid IS NOT NULL AND o.n < ${users}
  )
  SELECT uid FROM owners WHERE uid IS NOT NULL`

/** Where nothing is deleted by default. */
const usersWithSetting = (sql: SqlClient.SqlClient, { after, users }: Query) => sql`
  SELECT uid FROM user_settings WHERE retention_days > 0 AND uid > ${after} ORDER BY uid LIMIT ${users}`

const make = Effect.gen(function* () {
  const db = yield* Db
  return RetentionRows.of({
    started: Effect.fn("RetentionRows.started")((limit) =>
      Effect.map(
        db.read(
          "RetentionRows.started",
          (sql) =>
            sql`
            SELECT 1 FROM purges
            WHERE started_at IS NOT NULL AND finished_at IS NULL AND dead_at IS NULL LIMIT ${limit}`
        ),
        (rows) => rows.length
      )
    ),
    expired: Effect.fn("RetentionRows.expired")((query) =>
      db.read("RetentionRows.expired", (sql) =>
        sql`
          SELECT o.uid, ARRAY(
            SELECT c.id FROM conversations c
            WHERE c.uid = o.uid AND o.days > 0 AND c.ended_on < (now() AT TIME ZONE 'UTC')::date - o.days
              AND NOT EXISTS (
                SELECT FROM purges p
                WHERE p.uid = c.uid AND coalesce(p.conversation_id, '') = c.id AND p.finished_at IS NULL
              )
            ORDER BY c.ended_on, c.id LIMIT ${query.each}
          ) AS conversations
          FROM (
            SELECT u.uid, coalesce(s.retention_days, ${query.defaultDays}::integer) AS days
            FROM (${query.defaultDays > 0 ? allUsers(sql, query) : usersWithSetting(sql, query)}) AS u
            LEFT JOIN user_settings s ON s.uid = u.uid
          ) AS o
          ORDER BY o.uid`.pipe(Effect.flatMap(decode), Effect.catchTag("SchemaError", Effect.die))
      )
    )
  })
})
