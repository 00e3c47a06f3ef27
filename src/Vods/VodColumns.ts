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
  createdAt: Schema.Date,
  revision: Schema.Int,
  deletedAt: Schema.NullOr(Schema.Date),
  purgeAt: Schema.NullOr(Schema.Date),
  cursor: Schema.String
})
const decodeRows = Schema.decodeUnknownEffect(Schema.Array(Row))

const vodOf = ({ deletedAt, duration, purgeAt, reason, slug, ...row }: typeof Row.Type): Vod => ({
  ...row,
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

/** Microseconds of `created_at`, and the id. */
export function cursor(sql: Sql): Statement.Fragment {
  return sql`(extract(epoch from v.created_at) * 1000000)::bigint || '-' || v.id`
}

/** Of `vods v`. One row for each VOD, whatever its stream is. */
export function columns(sql: Sql): Statement.Fragment {
  return sql`
  v.id::text as id, v.uid, (select slug from streams s where s.id = v.stream_id and s.deleted_at is null) as slug,
  v.broadcast_id::float8 as broadcast, v.conversation_id as conversation, v.status, v.reason, v.title, v.description,
  v.duration, v.format, v.started_at as "startedAt", v.created_at as "createdAt", v.revision, v.deleted_at as "deletedAt",
  v.purge_at as "purgeAt", ${cursor(sql)} as cursor`
}

/** A condition: the row comes after this cursor in a list, newest first. */
export function isAfter(sql: Sql, after: string): Statement.Fragment {
  const [micros = "", id = ""] = after.split("-")
  return sql`(v.created_at, v.id) < (timestamptz 'epoch' + ${micros}::bigint * interval '1 microsecond', ${id}::bigint)`
}
