/** Rows of conversations: totals, the end of the index, and pages of audio files. */
import { Context, Effect, Layer, Option, Schema } from "effect"
import { type SqlClient, type SqlError, SqlSchema, type Statement } from "effect/sql"
import { Db, type DbError } from "../../Db.ts"
import { Events } from "../../Events.ts"
import type { Chunk } from "../Chunk.ts"
import * as ConversationEvents from "../ConversationEvents.ts"
import * as Fence from "../Purge/Fence.ts"
import {
  FileColumns,
  fileColumns,
  type FileRow,
  PlacedColumns,
  placedColumns,
  placedOf,
  indexRows,
  uuidOf
} from "./IndexRows.ts"
import type { Rows } from "./IndexChange.ts"
import type { Tail } from "./LiveOverlay.ts"
import * as LiveOverlay from "./LiveOverlay.ts"
import type { Key } from "./LayoutMerge.ts"

const Row = Schema.Struct({
  id: Schema.String,
  /** Position in the list: microseconds of `createdAt`, and a sequence number. */
  cursor: Schema.String,
  createdAt: Schema.Date,
  finishedAt: Schema.NullOr(Schema.Date),
  chunks: Schema.Finite,
  /** Incremented by every change of the index. */
  revision: Schema.Finite,
  /** Stored chunks with audio placed after its timestamps. */
  clockShifts: Schema.Finite,
  captured: Schema.Finite,
  lost: Schema.Finite,
  began: Schema.NullOr(Schema.Finite),
  ended: Schema.NullOr(Schema.Finite),
  tail: Schema.NullOr(PlacedColumns),
  tailFile: Schema.NullOr(FileColumns),
  files: Schema.NullOr(Schema.Array(FileColumns))
})

export interface ConversationRow extends Pick<
  typeof Row.Type,
  "id" | "cursor" | "createdAt" | "finishedAt" | "chunks" | "revision" | "clockShifts"
> {
  /** Seconds. */
  readonly captured: number
  readonly lost: number
  /** Unix seconds of start and end; none without audio. */
  readonly began: number | undefined
  readonly ended: number | undefined
  readonly tail: Tail | undefined
  readonly files: ReadonlyArray<FileRow>
}

/** Which audio files to return: the latest `limit`, optionally before a key; or the one with an id. */
export type Files = { readonly limit: number; readonly before?: Key } | { readonly id: string }

export class ConversationRows extends Context.Service<
  ConversationRows,
  {
    /** Creates the row if it is missing, unless a purge runs. The conversation ends today at the earliest. */
    ensure(uid: string, id: string): Effect.Effect<void, DbError>
    /** Marks it as finished now; false if it does not exist or a purge runs. */
    finish(name: { readonly uid: string; readonly conversation: string }): Effect.Effect<boolean, DbError>
    find(uid: string, id: string, files: Files): Effect.Effect<Option.Option<ConversationRow>, DbError>
    /**
     * Conversations with stored or lost audio, and those among `live`. Newest first by `createdAt`: creation of the row, or
     * the start of an imported conversation. `before` is a `cursor`.
     */
    latest(
      uid: string,
      page: { readonly before: string | undefined; readonly limit: number; readonly live: ReadonlyArray<string> },
      files: Files
    ): Effect.Effect<ReadonlyArray<ConversationRow>, DbError>
    /** The index overlaid with live chunks. The caller reads `live` before `row`. */
    view(
      uid: string,
      row: ConversationRow | undefined,
      id: string,
      live: ReadonlyArray<Chunk>
    ): Effect.Effect<LiveOverlay.LiveOverlay, DbError>
  }
>()("spillway/Recording/Catalog/ConversationRows") {
  static readonly layer = Layer.effect(
    ConversationRows,
    Effect.suspend(() => make)
  ).pipe(Layer.provide(Events.layer))
}

type Sql = SqlClient.SqlClient

const wanted = (sql: Sql, files: Files): Statement.Statement<object> => {
  if ("id" in files) {
    return sql`f.id = ${uuidOf(files.id)}::uuid order by f.start_at, f.first_id limit 1`
  }
  const { before, limit } = files
  const earlier =
    before === undefined
      ? sql`true`
      : sql`(f.start_at, f.first_id) < (${String(before.start)}::float8, ${before.id}::uuid)`
  return sql`${earlier} order by f.start_at desc, f.first_id desc limit ${limit}`
}

const columns = (sql: Sql, files: Files) => {
  const filesOf = sql`from audio_files f where f.uid = v.uid and f.conversation_id = v.id`
  return sql`
    v.id, (extract(epoch from v.created_at) * 1000000)::bigint || '-' || v.seq as cursor, v.created_at as "createdAt",
    v.finished_at as "finishedAt", v.chunks::float8 as chunks,
    v.revision::float8 as revision, v.clock_shifts::float8 as "clockShifts", v.captured, v.lost,
    (select f.start_at ${filesOf} order by f.start_at, f.first_id limit 1) as began,
    (select f.ends ${filesOf} order by f.ends desc limit 1) as ended,
    (select row_to_json(t) from (
      select ${placedColumns(sql)} from chunks c where c.uid = v.uid and c.conversation_id = v.id
      order by c.start_at desc, c.id desc limit 1
    ) t) as tail,
    (select row_to_json(t) from (
      select ${fileColumns(sql)} ${filesOf} order by f.start_at desc, f.first_id desc limit 1
    ) t) as "tailFile",
    (select json_agg(t) from (select ${fileColumns(sql)} ${filesOf} and ${wanted(sql, files)}) t) as files`
}

const isBefore = (sql: Sql, cursor: string) => {
  const [micros = "", seq = ""] = cursor.split("-")
  return sql`(created_at, seq) < (timestamptz 'epoch' + ${micros}::bigint * interval '1 microsecond', ${seq}::bigint)`
}

const rowOf = (uid: string, { began, ended, files, tail, tailFile, ...row }: typeof Row.Type): ConversationRow => ({
  ...row,
  began: began ?? undefined,
  ended: ended ?? undefined,
  tail:
    tail === null || tailFile === null
      ? undefined
      : { ...placedOf({ uid, conversation: row.id }, tail), file: tailFile },
  files: files ?? []
})

const make = Effect.gen(function* () {
  const db = yield* Db
  const events = yield* Events
  return ConversationRows.of({
    ensure: Effect.fn("ConversationRows.ensure")(function* (uid, id) {
      yield* db.transactionIdempotent(
        "ConversationRows.ensure",
        Effect.fnUntraced(function* (sql) {
          yield* Fence.lockCreation(sql, uid)
          const [written] = yield* sql<{ readonly isNew: boolean }>`
            insert into conversations (uid, id)
            select ${uid}, ${id} where not ${Fence.isPurged(sql, { uid, conversation: id }, Fence.now(sql))}
            on conflict (uid, id) do update set ended_on = excluded.ended_on
            where conversations.ended_on < excluded.ended_on
            returning xmax = 0 as "isNew"`
          if (written?.isNew === true)
            yield* events.append(sql, [yield* ConversationEvents.created({ uid, conversation: id })])
        })
      )
    }),
    finish: Effect.fn("ConversationRows.finish")(function* (name) {
      const finished = yield* ConversationEvents.finished(name)
      return yield* db.transactionIdempotent(
        "ConversationRows.finish",
        Effect.fnUntraced(function* (sql) {
          const rows = yield* sql`
            update conversations set finished_at = now()
            where uid = ${name.uid} and id = ${name.conversation} and not ${Fence.isPurged(sql, name, Fence.now(sql))}
            returning 1`
          if (rows.length > 0) yield* events.append(sql, [finished])
          return rows.length > 0
        })
      )
    }),
    find: Effect.fn("ConversationRows.find")(function* (uid, id, files) {
      const row = yield* db
        .read("ConversationRows.find", (sql) =>
          SqlSchema.findOneOption({
            Request: Schema.String,
            Result: Row,
            execute: (wanted) => sql`
              select ${columns(sql, files)} from conversations v where v.uid = ${uid} and v.id = ${wanted}`
          })(id)
        )
        .pipe(Effect.catchTag("SchemaError", Effect.die))
      return Option.map(row, (row) => rowOf(uid, row))
    }),
    latest: Effect.fn("ConversationRows.latest")(function* (uid, { before, limit, live }, files) {
      const rows = yield* db
        .read("ConversationRows.latest", (sql) =>
          SqlSchema.findAll({
            Request: Schema.Int,
            Result: Row,
            execute: (count) => sql`
              select ${columns(sql, files)} from (
                (
                  select * from conversations
                  where uid = ${uid} and has_audio and ${before === undefined ? sql`true` : isBefore(sql, before)}
                  order by created_at desc, seq desc limit ${count}
                )
                union all
                select * from conversations
                where uid = ${uid} and not has_audio and ${before === undefined ? sql`true` : isBefore(sql, before)}
                  and id in (select json_array_elements_text(${JSON.stringify(live)}::json))
              ) v
              order by v.created_at desc, v.seq desc limit ${count}`
          })(limit)
        )
        .pipe(Effect.catchTag("SchemaError", Effect.die))
      return rows.map((row) => rowOf(uid, row))
    }),
    view: (uid, row, id, live) => {
      const read = <A>(query: (rows: Rows<Chunk, SqlError.SqlError>) => Effect.Effect<A, SqlError.SqlError>) =>
        db.read("ConversationRows.view", (sql) => query(indexRows(sql, { uid, conversation: id })))
      const stored: Rows<Chunk, DbError> = {
        around: (key, limit) => read((rows) => rows.around(key, limit)),
        after: (key, limit) => read((rows) => rows.after(key, limit)),
        fileAt: (key) => read((rows) => rows.fileAt(key)),
        sums: (from, to) => read((rows) => rows.sums(from, to))
      }
      return LiveOverlay.make(row?.tail, stored, live)
    }
  })
})
