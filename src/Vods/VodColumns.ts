/** How VODs are read from their rows. */
import type { SqlClient, Statement } from "effect/sql"
import type { FailureReason, Format, Status, Vod } from "./Vod.ts"

type Sql = SqlClient.SqlClient

/** The result of `columns`. Without a schema, whose checks take as long as the rest of a page. */
export interface Row {
  readonly id: string
  readonly uid: string
  readonly slug: string | null
  readonly broadcast: number
  readonly conversation: string
  readonly status: Status
  readonly reason: FailureReason | null
  readonly title: string
  readonly description: string
  readonly duration: number | null
  readonly format: Format
  readonly startedAt: Date
  readonly createdMicros: number
  readonly revision: number
  readonly deletedAt: Date | null
  readonly purgeAt: Date | null
}

export function vodOf(row: Row): Vod {
  return {
    id: row.id,
    uid: row.uid,
    slug: row.slug ?? undefined,
    broadcast: row.broadcast,
    conversation: row.conversation,
    status: row.status,
    reason: row.reason ?? undefined,
    title: row.title,
    description: row.description,
    duration: row.duration ?? undefined,
    format: row.format,
    startedAt: row.startedAt,
    createdAt: new Date(row.createdMicros / 1_000),
    revision: row.revision,
    deletedAt: row.deletedAt ?? undefined,
    purgeAt: row.purgeAt ?? undefined,
    cursor: `${row.createdMicros}-${row.id}`
  }
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
