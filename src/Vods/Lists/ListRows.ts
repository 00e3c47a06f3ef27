/** Pages of VODs, with totals that are kept and not counted. */
import { Context, Effect, Layer, Schema } from "effect"
import type { SqlClient, Statement } from "effect/sql"
import { Db, type DbError } from "../../Db.ts"
import { type State, Status, type Vod } from "../Vod.ts"
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

/** A condition on `vods v`: it is in the list. Those on `id` are always true, and choose the index. */
export function isListed(sql: Sql, { owner, state }: Filter): Statement.Fragment {
  if (state === undefined)
    return owner === undefined
      ? sql`v.id > 0 and v.state <> 'deleted'`
      : sql`v.uid = ${owner} and v.id <> 0 and v.state <> 'deleted'`
  return owner === undefined ? sql`v.id >= 0 and v.state = ${state}` : sql`v.uid = ${owner} and v.state = ${state}`
}

/** A page, and the total in a row of its own if the page is empty. What is skipped is read from an index only. */
export function selectPage(
  sql: Sql,
  filter: Filter,
  place: Place,
  limit: number
): Statement.Statement<{ readonly id: string | null }> {
  const after = "after" in place ? sql`and ${VodColumns.isAfter(sql, place.after)}` : sql``
  const list = sql`
    from vods v where ${isListed(sql, filter)} ${after} order by v.created_at desc, v.id desc limit ${limit}`
  const skipped = "skipped" in place ? place.skipped : 0
  const page =
    skipped === 0
      ? sql`select ${VodColumns.columns(sql)} ${list}`
      : sql`
          select ${VodColumns.columns(sql)}
          from (select v.id as key, v.created_at ${list} offset ${skipped}) as keys join vods v on v.id = key
          order by keys.created_at desc, key desc`
  return sql<{ readonly id: string | null }>`
    select total, page.* from (
      select coalesce(sum(count), 0)::float8 as total from vod_counts
      where uid = ${filter.owner ?? ""} and state = any(string_to_array(${filter.state ?? Status.literals.join(",")}, ','))
    ) as counted left join (${page}) as page on true
    order by "createdAt" desc, page.id::bigint desc`
}

const decodeTotals = Schema.decodeUnknownEffect(Schema.NonEmptyArray(Schema.Struct({ total: Schema.Finite })))

const make = Effect.gen(function* () {
  const db = yield* Db
  return ListRows.of({
    page: Effect.fn("ListRows.page")((filter, place, limit) =>
      db.read("ListRows.page", (sql) =>
        Effect.gen(function* () {
          const rows = yield* selectPage(sql, filter, place, limit)
          const [{ total }] = yield* decodeTotals(rows.slice(0, 1))
          return { vods: yield* VodColumns.decode(rows.filter(({ id }) => id !== null)), total }
        }).pipe(Effect.catchTag("SchemaError", Effect.die))
      )
    ),
    ofStream: Effect.fn("ListRows.ofStream")((stream, { after, limit }) =>
      db.read("ListRows.ofStream", (sql) =>
        Effect.flatMap(selectOfStream(sql, stream, { after, limit }), VodColumns.decode)
      )
    )
  })
})

export function selectOfStream(
  sql: Sql,
  stream: number,
  { after, limit }: { readonly after: string | undefined; readonly limit: number }
): Statement.Statement<object> {
  return sql`
    select ${VodColumns.columns(sql)} from vods v
    where v.stream_id = ${String(stream)}::bigint and v.state = 'ready'
      ${after === undefined ? sql`` : sql`and ${VodColumns.isAfter(sql, after)}`}
    order by v.created_at desc, v.id desc limit ${limit}`
}
