/**
 * Search in titles and descriptions. A search reads the list itself, newest first, and so finds frequent words; the index of
 * words finds the others. Neither reads more than a bounded number of VODs, and so a page of a list with many can be short.
 */
import { Context, Effect, Layer, Schema } from "effect"
import type { SqlClient, Statement } from "effect/sql"
import { Db, type DbError } from "../../Db.ts"
import type { Vod } from "../Vod.ts"
import * as VodColumns from "../VodColumns.ts"
import { type Filter, isListed } from "./ListRows.ts"

type Sql = SqlClient.SqlClient

/** VODs of the list that a page reads. If they do not fill it, the index of words is asked. */
const maxRead = 2_000

/** VODs with the words that the index may have. If it has more, the page is what was read of the list, and can be short. */
const maxMatching = 1_000

/** Words of a search; the others are left out. */
const maxWords = 10

/** A shorter last word has no others that begin with it: in the index they can be too many. */
const shortestPrefix = 3

export interface SearchPage {
  readonly vods: ReadonlyArray<Vod>
  /** Where the next page begins; none if this is the last one. */
  readonly next: string | undefined
}

export class SearchRows extends Context.Service<
  SearchRows,
  {
    /** Newest first. */
    page(
      filter: Filter,
      words: ReadonlyArray<string>,
      page: { readonly after: string | undefined; readonly limit: number }
    ): Effect.Effect<SearchPage, DbError>
  }
>()("spillway/Vods/Lists/SearchRows") {
  static readonly layer = Layer.effect(
    SearchRows,
    Effect.suspend(() => make)
  )
}

/** The words and numbers of a text that a user has typed. */
export function wordsOf(text: string): ReadonlyArray<string> {
  return (text.match(/[\p{L}\p{M}\p{N}]+/gu) ?? []).slice(0, maxWords)
}

/** All words, and of the last one also words that begin with it. */
const queryOf = (words: ReadonlyArray<string>): string =>
  words.map((word, at) => (at === words.length - 1 && word.length >= shortestPrefix ? `${word}:*` : word)).join(" & ")

const isBefore = (sql: Sql, after: string | undefined) =>
  after === undefined ? sql`` : sql`and ${VodColumns.isAfter(sql, after)}`

const matches = (sql: Sql, words: ReadonlyArray<string>) => sql`to_tsquery('simple', ${queryOf(words)})`

/** `ids`: of VODs with the words among those that are read. `end`: the last one that is read, if there may be more. */
export function selectRead(
  sql: Sql,
  filter: Filter,
  words: ReadonlyArray<string>,
  { after, limit }: { readonly after: string | undefined; readonly limit: number }
): Statement.Statement<object> {
  return sql`
  with list as materialized (
    select v.id, v.created_at, v.search from vods v where ${isListed(sql, filter)} ${isBefore(sql, after)}
    order by v.created_at desc, v.id desc limit ${maxRead}
  )
  select array(
           select v.id::text from list v where v.search @@ ${matches(sql, words)}
           order by v.created_at desc, v.id desc limit ${limit}
         ) as ids,
         (select ${VodColumns.createdMicros(sql)}::bigint || '-' || v.id from list v order by v.created_at, v.id limit 1) as end,
         (select count(*)::int from list) as read`
}

/**
 * `ids` as in `selectRead`, in all of the list. `matching`: VODs of the owner with the words. Each of them is looked up: a join
 * would read all VODs of a user with some thousands.
 */
export function selectMatching(
  sql: Sql,
  filter: Filter,
  words: ReadonlyArray<string>,
  { after, limit }: { readonly after: string | undefined; readonly limit: number }
): Statement.Statement<object> {
  const owner = filter.owner === undefined ? sql`` : sql` && ${`'owner ${filter.owner}'`}::tsquery`
  return sql`
    with matching as materialized (
      select id from matching_vods(${matches(sql, words)}${owner}, ${maxMatching + 1}) as m(id)
    )
    select array(
             select v.id::text from matching m cross join lateral (
               select v.id, v.created_at from vods v
               where v.id = m.id and ${isListed(sql, filter)} ${isBefore(sql, after)} limit 1
             ) v
             order by v.created_at desc, v.id desc limit ${limit}
           ) as ids,
           (select count(*)::int from matching) as matching`
}

const Read = Schema.Struct({ ids: Schema.Array(Schema.String), end: Schema.NullOr(Schema.String), read: Schema.Int })
const decodeRead = Schema.decodeUnknownEffect(Schema.Tuple([Read]))
const Matching = Schema.Struct({ ids: Schema.Array(Schema.String), matching: Schema.Int })
const decodeMatching = Schema.decodeUnknownEffect(Schema.Tuple([Matching]))

const make = Effect.gen(function* () {
  const db = yield* Db

  /** Those that still exist. */
  const find = (ids: ReadonlyArray<string>) =>
    db.read("SearchRows.find", (sql) =>
      Effect.map(
        sql<VodColumns.Row>`
          select ${VodColumns.columns(sql)} from vods v where v.id = any(${ids}::bigint[])
          order by v.created_at desc, v.id desc limit ${ids.length}`,
        (rows) => rows.map(VodColumns.vodOf)
      )
    )

  return SearchRows.of({
    page: Effect.fn("SearchRows.page")(function* (filter, words, { after, limit }) {
      const options = { after, limit: limit + 1 }
      const [{ end, ids, read }] = yield* db.read("SearchRows.read", (sql) =>
        selectRead(sql, filter, words, options).pipe(
          Effect.flatMap(decodeRead),
          Effect.catchTag("SchemaError", Effect.die)
        )
      )
      const pageOf = Effect.fnUntraced(function* (found: ReadonlyArray<string>, rest: string | undefined) {
        const vods = yield* find(found.slice(0, limit))
        return { vods, next: found.length > limit ? vods.at(-1)?.cursor : rest }
      })
      if (ids.length > limit || read < maxRead) return yield* pageOf(ids, undefined)
      const [{ ids: all, matching }] = yield* db.read("SearchRows.matching", (sql) =>
        selectMatching(sql, filter, words, options).pipe(
          Effect.flatMap(decodeMatching),
          Effect.catchTag("SchemaError", Effect.die)
        )
      )
      return yield* matching > maxMatching ? pageOf(ids, end ?? undefined) : pageOf(all, undefined)
    })
  })
})
