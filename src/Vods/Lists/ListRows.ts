/** Pages of VODs, with totals that are kept and not counted. */
import { Context, Effect, Layer } from "effect"
import type { SqlClient, Statement } from "effect/sql"
import { Db, type DbError } from "../../Db.ts"
import type { State, Vod } from "../Vod.ts"
import * as VodColumns from "../VodColumns.ts"

type Sql = SqlClient.SqlClient

/** Without an owner: of all users. Without a state: those that are not deleted. */
export interface Filter {
  readonly owner: string | undefined
  readonly state: State | undefined
}

/** `skipped` VODs of the list, or all up to a cursor, come before the page. */
export type Place = { readonly skipped: number } | { readonly after: string }

export interface ListPage {
  readonly vods: ReadonlyArray<Vod>
  /** VODs of the whole list. */
  readonly total: number
}

export class ListRows extends Context.Service<
  ListRows,
  {
    /** Newest first. */
    page(filter: Filter, place: Place, limit: number): Effect.Effect<ListPage, DbError>
    /** Those of a stream that are ready, newest first. */
    ofStream(
      stream: number,
      page: { readonly after: string | undefined; readonly limit: number }
    ): Effect.Effect<ReadonlyArray<Vod>, DbError>
  }
>()("spillway/Vods/Lists/ListRows") {
  static readonly layer = Layer.effect(
    ListRows,
    Effect.suspend(() => make)
  )
}

const stateIn = (sql: Sql, state: State | undefined) =>
  state === undefined ? sql`state <> 'deleted'` : sql`state = ${sql.literal(`'${state}'`)}`

/** A condition on `vods v`: it is in the list. Those on `id` are always true, and choose the index. */
export function isListed(sql: Sql, { owner, state }: Filter): Statement.Fragment {
  if (owner === undefined)
    return sql`${state === undefined ? sql`v.id > 0` : sql`v.id >= 0`} and v.${stateIn(sql, state)}`
  return sql`v.uid = ${owner} ${state === undefined ? sql`and v.id <> 0` : sql``} and v.${stateIn(sql, state)}`
}

/**
 * The rows of a page in order. The list that users open is planned once, which would take longer than the page: the planner does
 * not see its parameters, and takes the range of one user for many rows, so that it reads them in the order of the index.
 */
const pageOf = (sql: Sql, filter: Filter, place: Place) => {
  const after = "after" in place ? place.after : undefined
  if (filter.owner === undefined || filter.state !== undefined)
    return sql`
      from vods v where ${isListed(sql, filter)} ${after === undefined ? sql`` : sql`and ${VodColumns.isAfter(sql, after)}`}
      order by v.created_at desc, v.id desc`
  const uid = VodColumns.opaque(sql, sql`${filter.owner}::text`)
  return sql`
    from vods v where v.uid >= ${uid} and v.uid <= ${uid} and v.id <> 0 and v.state <> 'deleted'
      ${after === undefined ? sql`` : sql`and ${VodColumns.isAfter(sql, after, VodColumns.opaque)}`}
    order by v.uid, v.created_at desc, v.id desc`
}

interface PageRow extends VodColumns.Row {
  readonly total: number
}

interface EmptyPage {
  readonly id: null
  readonly total: number
}

/** Limits of statements, each of which has a plan of its own. */
const limits = [21, 51, 101]

/** The least limit for so many rows. */
const limitFor = (rows: number) => limits.find((limit) => limit >= rows) ?? rows

/**
 * A page of at least `rows` VODs, if the list has them, and the total; in a row of its own if the page is empty. What is skipped is
 * read from an index only.
 */
export function selectPage(
  sql: Sql,
  filter: Filter,
  place: Place,
  rows: number
): Statement.Statement<PageRow | EmptyPage> {
  const list = sql`${pageOf(sql, filter, place)} limit ${sql.literal(String(limitFor(rows)))}`
  const skipped = "skipped" in place ? place.skipped : 0
  const page =
    skipped === 0
      ? sql`select ${VodColumns.columns(sql)} ${list}`
      : sql`
          select ${VodColumns.columns(sql)}
          from (select v.id as key, v.created_at ${list} offset ${skipped}) as keys join vods v on v.id = key
          order by keys.created_at desc, key desc`
  return sql<PageRow | EmptyPage>`
    select total, page.* from (
      select coalesce(sum(count), 0)::float8 as total from vod_counts
      where uid = ${VodColumns.opaque(sql, sql`${filter.owner ?? ""}::text`)} and ${stateIn(sql, filter.state)}
    ) as counted left join (${page}) as page on true
    order by "createdMicros" desc, page.id::bigint desc`
}

const make = Effect.gen(function* () {
  const db = yield* Db
  return ListRows.of({
    page: Effect.fn("ListRows.page")((filter, place, limit) =>
      db.read("ListRows.page", (sql) =>
        Effect.map(selectPage(sql, filter, place, limit), (rows) => ({
          vods: rows
            .slice(0, limit)
            .filter((row) => row.id !== null)
            .map(VodColumns.vodOf),
          total: rows[0]?.total ?? 0
        }))
      )
    ),
    ofStream: Effect.fn("ListRows.ofStream")((stream, { after, limit }) =>
      db.read("ListRows.ofStream", (sql) =>
        Effect.map(selectOfStream(sql, stream, { after, limit }), (rows) => rows.map(VodColumns.vodOf))
      )
    )
  })
})

export function selectOfStream(
  sql: Sql,
  stream: number,
  { after, limit }: { readonly after: string | undefined; readonly limit: number }
): Statement.Statement<VodColumns.Row> {
  return sql<VodColumns.Row>`
    select ${VodColumns.columns(sql)} from vods v
    where v.stream_id = ${String(stream)}::bigint and v.state = 'ready'
      ${after === undefined ? sql`` : sql`and ${VodColumns.isAfter(sql, after)}`}
    order by v.created_at desc, v.id desc limit ${limit}`
}
