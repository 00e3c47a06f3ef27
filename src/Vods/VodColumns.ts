/** How VODs are read from their rows. */
import { Effect, Schema } from "effect"
import type { SqlClient, Statement } from "effect/sql"
import { FailureReason, Format, Status, type Vod } from "./Vod.ts"

type Sql = SqlClient.SqlClient

const Row = Schema.Struct({
  id: Schema.String,
  uid: Schema.String,
  slug: Schema.NullOr(Schema.String),
  broadcast: Schema.Finite,
  conversation: Schema.String,
  status: Status,
  reason: Schema.NullOr(FailureReason),
  title: Schema.String,
  description: Schema.String,
  duration: Schema.NullOr(Schema.Finite),
  format: Format,
  startedAt: Schema.Date,
  createdMicros: Schema.Finite,
  revision: Schema.Int,
  deletedAt: Schema.NullOr(Schema.Date),
  purgeAt: Schema.NullOr(Schema.Date)
})
const decodeRows = Schema.decodeUnknownEffect(Schema.Array(Row))

const vodOf = ({ createdMicros, deletedAt, duration, purgeAt, reason, slug, ...row }: typeof Row.Type): Vod => ({
  ...row,
  createdAt: new Date(createdMicros / 1_000),
  cursor: `${createdMicros}-${row.id}`,
  slug: slug ?? undefined,
  reason: reason ?? undefined,
  duration: duration ?? undefined,
  deletedAt: deletedAt ?? undefined,
  purgeAt: purgeAt ?? undefined
})

/** Decodes rows of `columns`. */
export function decode(rows: unknown): Effect.Effect<ReadonlyArray<Vod>> {
  return decodeRows(rows).pipe(
    Effect.map((decoded) => decoded.map(vodOf)),
    Effect.catchTag("SchemaError", Effect.die)
  )
}

/** Of `vods v`: its place in lists, as microseconds. A double has them all. */
export function createdMicros(sql: Sql): Statement.Fragment {
  return sql`round(date_part('epoch', v.created_at) * 1e6)`
}

/** Of `vods v`. One row for each VOD, whatever its stream is. */
export function columns(sql: Sql): Statement.Fragment {
  return sql`
  v.id::text as id, v.uid, (select slug from streams s where s.id = v.stream_id and s.deleted_at is null) as slug,
  v.broadcast_id::float8 as broadcast, v.conversation_id as conversation, v.status, v.reason, v.title, v.description,
  v.duration, v.format, v.started_at as "startedAt", ${createdMicros(sql)} as "createdMicros", v.revision, v.deleted_at as "deletedAt", v.purge_at as "purgeAt"`
}

/** A value that the planner does not see. */
export function opaque(sql: Sql, value: Statement.Fragment): Statement.Fragment {
  return sql`(select ${value})`
}

/** A condition: the row comes after this cursor in a list, newest first. */
export function isAfter(
  sql: Sql,
  after: string,
  as = (_: Sql, value: Statement.Fragment) => value
): Statement.Fragment {
  const [micros = "", id = ""] = after.split("-")
  const createdAt = as(sql, sql`timestamptz 'epoch' + ${micros}::bigint * interval '1 microsecond'`)
  return sql`(v.created_at, v.id) < (${createdAt}, ${as(sql, sql`${id}::bigint`)})`
}
