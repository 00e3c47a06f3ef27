/** An audio file's row, and pages of its chunks, by position. */
import { Context, Effect, Layer, Option, Schema } from "effect"
import { type SqlClient, SqlSchema, type Statement } from "effect/sql"
import { Db, type DbError } from "../../Db.ts"
import type { Chunk } from "../Chunk.ts"
import type { FileState } from "./IndexChange.ts"
import {
  FileColumns,
  fileColumns,
  type FileRow,
  type Name,
  PlacedColumns,
  placedColumns,
  placedOf,
  uuidOf
} from "./IndexRows.ts"
import type { Placed } from "./LayoutMerge.ts"

const Row = Schema.Struct({
  revision: Schema.NullOr(Schema.Finite),
  rows: Schema.NullOr(Schema.Array(PlacedColumns))
})

const Opened = Schema.Struct({ ...FileColumns.fields, rows: Schema.NullOr(Schema.Array(PlacedColumns)) })

/** In samples; `to` is exclusive. */
export interface SampleRange {
  readonly from: number
  readonly to: number
}

export interface Page {
  /** Revision of the file's row at the time of the read; none if the file no longer exists. */
  readonly revision: number | undefined
  readonly rows: ReadonlyArray<Placed<Chunk>>
}

export class FileChunks extends Context.Service<
  FileChunks,
  {
    /** The first `limit` chunks (or one more) heard between positions `from` and `to`. */
    page(name: Name, file: FileState, range: SampleRange, limit: number): Effect.Effect<Page, DbError>
    /** The row of the file, and with it the page of samples `near` of the file. None if the user has no such file. */
    open(
      name: Name,
      id: string,
      near: SampleRange | undefined,
      limit: number
    ): Effect.Effect<Option.Option<{ readonly file: FileRow; readonly page: Page }>, DbError>
  }
>()("spillway/Recording/Catalog/FileChunks") {
  static readonly layer = Layer.effect(
    FileChunks,
    Effect.suspend(() => make)
  )
}

type Sql = SqlClient.SqlClient

/** The page between two positions, of the chunks that `heard` selects. */
const pageOf = (sql: Sql, heard: Statement.Fragment, from: Statement.Fragment, to: Statement.Fragment, limit: number) =>
  sql`(
    select json_agg(t) from (
      (${heard} and c.at <= ${from} order by c.at desc limit 1)
      union all
      (${heard} and c.at > ${from} and c.at < ${to} order by c.at limit ${limit})
    ) t
  )`

const rowsOf = (name: Name, rows: ReadonlyArray<typeof PlacedColumns.Type> | null, from: number) =>
  (rows ?? []).map((each) => placedOf(name, each)).filter(({ placement: { at, heard } }) => at + heard > from)

/** Beyond every sample, so that a position is still an exact number and a bigint. */
const endless = 2 ** 52

const make = Effect.gen(function* () {
  const db = yield* Db
  return FileChunks.of({
    page: Effect.fn("FileChunks.page")(function* (name, file, { from, to }, limit) {
      const { conversation, uid } = name
      const row = yield* db
        .read("FileChunks.page", (sql) => {
          const heard = sql`
            select ${placedColumns(sql)} from chunks c
            where c.uid = ${uid} and c.conversation_id = ${conversation} and c.sample_rate = ${file.sampleRate}
              and c.heard > 0 and (c.start_at, c.id) >= (${String(file.start)}::float8, ${file.firstId}::uuid)
              and (c.start_at, c.id) <= (${String(file.lastStart)}::float8, ${file.lastId}::uuid)`
          const rows = pageOf(sql, heard, sql`${String(from)}::bigint`, sql`${String(to)}::bigint`, limit)
          return SqlSchema.findOne({
            Request: Schema.Void,
            Result: Row,
            execute: () => sql`
              select
                (
                  select f.revision::float8 from audio_files f
                  where f.uid = ${uid} and f.conversation_id = ${conversation}
                    and f.start_at = ${String(file.start)}::float8 and f.first_id = ${file.firstId}::uuid
                ) as revision,
                ${rows} as rows`
          })(undefined)
        })
        .pipe(Effect.catchTag(["SchemaError", "NoSuchElementError"], Effect.die))
      return { revision: row.revision ?? undefined, rows: rowsOf(name, row.rows, from) }
    }),
    open: Effect.fnUntraced(function* (name, id, near, limit) {
      const { conversation, uid } = name
      const row = yield* db
        .read("FileChunks.open", (sql) => {
          const heard = sql`
            select ${placedColumns(sql)} from chunks c
            where c.uid = f.uid and c.conversation_id = f.conversation_id and c.sample_rate = f.sample_rate
              and c.heard > 0 and (c.start_at, c.id) >= (f.start_at, f.first_id)
              and (c.start_at, c.id) <= (f.last_start, f.last_id)`
          const position = (sample: number) =>
            sql`(round(f.start_at * f.sample_rate)::bigint + ${String(Math.min(sample, endless))}::bigint)`
          const rows =
            near === undefined ? sql`null::json` : pageOf(sql, heard, position(near.from), position(near.to), limit)
          return SqlSchema.findOneOption({
            Request: Schema.Void,
            Result: Opened,
            execute: () => sql`
              select ${fileColumns(sql)}, ${rows} as rows from audio_files f
              where f.uid = ${uid} and f.conversation_id = ${conversation} and f.id = ${uuidOf(id)}::uuid
              order by f.start_at, f.first_id limit 1`
          })(undefined)
        })
        .pipe(Effect.catchTag("SchemaError", Effect.die))
      return Option.map(row, ({ rows, ...file }) => ({
        file,
        page: { revision: file.revision, rows: rowsOf(name, rows, -Infinity) }
      }))
    })
  })
})
