/** An audio file's row, and pages of its chunks, by position. */
import { Clock, Context, Effect, Layer, Option, Schema } from "effect"
import { type SqlClient, SqlSchema, type Statement } from "effect/sql"
import { Db, type DbError } from "../../Db.ts"
import * as ChunkPages from "./ChunkPages.ts"
import { type Page, type PageOfRange, pageSize, type SampleRange } from "./ChunkPages.ts"
import type { FileState } from "./IndexChange.ts"
import * as KnownFiles from "./KnownFiles.ts"
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

const Row = Schema.Struct({
  revision: Schema.NullOr(Schema.Finite),
  rows: Schema.NullOr(Schema.Array(PlacedColumns))
})

const Opened = Schema.Struct({ ...FileColumns.fields, rows: Schema.NullOr(Schema.Array(PlacedColumns)) })

export class FileChunks extends Context.Service<
  FileChunks,
  {
    /** The first `pageSize` chunks (or one more) heard between positions `from` and `to`. */
    page(name: Name, file: FileState, range: SampleRange): Effect.Effect<Page, DbError>
    /**
     * The row of the file and, in the same query or from an earlier one, a page of samples `near`. None if the user has no such
     * file. The row may be a second old if the page is from an earlier query.
     */
    open(
      name: Name,
      id: string,
      near: SampleRange | undefined
    ): Effect.Effect<Option.Option<{ readonly file: FileRow; readonly near: PageOfRange | undefined }>, DbError>
    /** The rows of the conversation that were read before are read again. */
    readonly forget: (name: Name) => void
  }
>()("spillway/Recording/Catalog/FileChunks") {
  static readonly layer = Layer.effect(
    FileChunks,
    Effect.suspend(() => make)
  )
}

type Sql = SqlClient.SqlClient

/** The page between two positions, of the chunks that `heard` selects. */
const pageOf = (sql: Sql, heard: Statement.Fragment, from: Statement.Fragment, to: Statement.Fragment) =>
  sql`(
    select json_agg(t) from (
      (${heard} and c.at <= ${from} order by c.at desc limit 1)
      union all
      (${heard} and c.at > ${from} and c.at < ${to} order by c.at limit ${pageSize})
    ) t
  )`

const rowsOf = (name: Name, rows: ReadonlyArray<typeof PlacedColumns.Type> | null, from: number) =>
  (rows ?? []).map((each) => placedOf(name, each)).filter(({ placement: { at, heard } }) => at + heard > from)

/** Beyond every sample, so that a position is still an exact number and a bigint. */
const endless = 2 ** 52

const make = Effect.gen(function* () {
  const db = yield* Db
  const clock = yield* Clock.Clock
  const now = () => Number(clock.monotonicTimeNanosUnsafe()) / 1e6
  const pages = ChunkPages.make()
  const files = KnownFiles.make(now)
  return FileChunks.of({
    page: Effect.fn("FileChunks.page")(function* (name, file, { from, to }) {
      const { conversation, uid } = name
      const row = yield* db
        .read("FileChunks.page", (sql) => {
          const heard = sql`
            select ${placedColumns(sql)} from chunks c
            where c.uid = ${uid} and c.conversation_id = ${conversation} and c.sample_rate = ${file.sampleRate}
              and c.heard > 0 and (c.start_at, c.id) >= (${String(file.start)}::float8, ${file.firstId}::uuid)
              and (c.start_at, c.id) <= (${String(file.lastStart)}::float8, ${file.lastId}::uuid)`
          const rows = pageOf(sql, heard, sql`${String(from)}::bigint`, sql`${String(to)}::bigint`)
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
    open: Effect.fnUntracedEager(function* (name, id, near) {
      const { conversation, uid } = name
      const read = near === undefined ? undefined : pages.readFor(name, id, near)
      const range = read?.range
      const resultOf = (file: FileRow, rows: ReadonlyArray<typeof PlacedColumns.Type> | null) => ({
        file,
        near: read?.found(file, { revision: file.revision, rows: rowsOf(name, rows, -Infinity) })
      })
      const known = near === undefined || range !== undefined ? undefined : files.get(name, id)
      const recent = known === undefined ? undefined : resultOf(known, null)
      if (recent?.near !== undefined) return Option.some(recent)
      const readAt = now()
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
            range === undefined ? sql`null::json` : pageOf(sql, heard, position(range.from), position(range.to))
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
      return Option.map(row, ({ rows, ...file }) => {
        files.add(name, id, file, readAt)
        return resultOf(file, rows)
      })
    }),
    forget: files.forget
  })
})
