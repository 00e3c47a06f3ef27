/** Queries and columns of a conversation's index: placed chunks, audio files, and sums. */
import { Effect, Schema } from "effect"
import type { SqlClient, SqlError, Statement } from "effect/sql"
import { Span } from "../../Audio.ts"
import type { Chunk } from "../Chunk.ts"
import type { Rows } from "./IndexChange.ts"
import type { Key, Placed } from "./LayoutMerge.ts"

type Sql = SqlClient.SqlClient
type Fragment = Statement.Statement<object>

export interface Name {
  readonly uid: string
  readonly conversation: string
}

const Pending = Schema.fromJsonString(Schema.Array(Schema.Tuple([Schema.Int, Schema.Int])))

export const ChunkColumns = Schema.Struct({
  id: Schema.String,
  start: Schema.Finite,
  samples: Schema.Finite,
  sampleRate: Schema.Int,
  codec: Span.Codec,
  key: Schema.NullOr(Schema.String),
  bytes: Schema.Finite,
  crc32c: Schema.NullOr(Schema.Finite),
  lost: Schema.Boolean
})

const PlacementColumns = Schema.Struct({
  begins: Schema.Boolean,
  at: Schema.Finite,
  skip: Schema.Finite,
  heard: Schema.Finite,
  lostSamples: Schema.Finite,
  heardEnd: Schema.Finite,
  endAt: Schema.Finite,
  pending: Schema.NullOr(Pending)
})

export const PlacedColumns = Schema.Struct({ ...ChunkColumns.fields, ...PlacementColumns.fields })

export function chunkColumns(sql: Sql): Fragment {
  return sql`
  c.id::text as id, c.start_at as start, c.samples::float8 as samples, c.sample_rate as "sampleRate", c.codec,
  c.object_key as key, c.bytes::float8 as bytes, c.crc32c::float8 as crc32c, c.lost`
}

export function placedColumns(sql: Sql): Fragment {
  return sql`
  ${chunkColumns(sql)}, c.begins, c.at::float8 as at, c.skip::float8 as skip, c.heard::float8 as heard,
  c.lost_samples::float8 as "lostSamples", c.heard_end::float8 as "heardEnd", c.end_at::float8 as "endAt", c.pending`
}

export function chunkOf({ conversation, uid }: Name, row: typeof ChunkColumns.Type): Chunk {
  return {
    id: row.id,
    uid,
    conversation,
    start: row.start,
    samples: row.samples,
    sampleRate: row.sampleRate,
    codec: row.codec,
    key: row.key ?? "",
    state: row.lost ? "lost" : "stored",
    object: row.crc32c === null ? undefined : { bytes: row.bytes, crc32c: row.crc32c }
  }
}

export function placedOf(name: Name, row: typeof PlacedColumns.Type): Placed<Chunk> {
  const { at, begins, codec, heard, lostSamples, sampleRate, skip } = row
  const state = { sampleRate, codec, heard: row.heardEnd, end: row.endAt, pending: row.pending ?? [] }
  return { chunk: chunkOf(name, row), placement: { begins, at, skip, heard, lost: lostSamples, state } }
}

export const FileColumns = Schema.Struct({
  start: Schema.Finite,
  firstId: Schema.String,
  id: Schema.String,
  sampleRate: Schema.Int,
  codec: Span.Codec,
  endAt: Schema.Finite,
  captured: Schema.Finite,
  lost: Schema.Finite,
  chunks: Schema.Finite,
  lastStart: Schema.Finite,
  lastId: Schema.String,
  revision: Schema.Finite
})
export type FileRow = typeof FileColumns.Type

const uuid = /^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/
/** Matches no file. */
const noId = "00000000-0000-0000-0000-000000000000"

/** Replaces an id that is not a UUID, which PostgreSQL would reject, by one that no file has. */
export function uuidOf(id: string): string {
  return uuid.test(id) ? id : noId
}

export function fileColumns(sql: Sql): Fragment {
  return sql`
  f.start_at as start, f.first_id::text as "firstId", f.id::text as id, f.sample_rate as "sampleRate", f.codec,
  f.end_at::float8 as "endAt", f.captured::float8 as captured, f.lost::float8 as lost, f.chunks::float8 as chunks,
  f.last_start as "lastStart", f.last_id::text as "lastId", f.revision::float8 as revision`
}

const isOf = (sql: Sql, table: "c" | "f", { conversation, uid }: Name): Fragment =>
  sql`${sql(table)}.uid = ${uid} and ${sql(table)}.conversation_id = ${conversation}`

/** The start as text: the client infers a parameter's type from its value, and sends whole numbers as integers. */
const keyOf = (sql: Sql, { id, start }: Key): Fragment => sql`(${String(start)}::float8, ${id}::uuid)`

const decoderOf = <A, I>(row: Schema.Codec<A, I>) => {
  const decode = Schema.decodeUnknownEffect(Schema.Array(row))
  return (statement: Fragment): Effect.Effect<ReadonlyArray<A>, SqlError.SqlError> =>
    Effect.flatMap(statement, (rows) => Effect.orDie(decode(rows)))
}
export const placedRows = decoderOf(PlacedColumns)
export const fileRows = decoderOf(FileColumns)
const aroundRows = decoderOf(
  Schema.Struct({
    row: Schema.NullOr(PlacedColumns),
    file: Schema.NullOr(FileColumns),
    after: Schema.NullOr(Schema.Array(PlacedColumns))
  })
)
const sumRows = decoderOf(Schema.Struct({ chunks: Schema.Finite, captured: Schema.Finite, lost: Schema.Finite }))

export function filesBefore(sql: Sql, name: Name, key: Key, limit: number) {
  return fileRows(
    sql`
      select ${fileColumns(sql)} from audio_files f
      where ${isOf(sql, "f", name)} and (f.start_at, f.first_id) <= ${keyOf(sql, key)}
      order by f.start_at desc, f.first_id desc limit ${limit}`
  )
}

export function indexRows(sql: Sql, name: Name): Rows<Chunk, SqlError.SqlError> {
  return {
    around: Effect.fnUntraced(function* (key, limit) {
      const [found] = yield* aroundRows(
        sql`
        select
          (select row_to_json(t) from (
            select ${placedColumns(sql)} from chunks c
            where ${isOf(sql, "c", name)} and (c.start_at, c.id) < ${keyOf(sql, key)}
            order by c.start_at desc, c.id desc limit 1
          ) t) as row,
          (select row_to_json(t) from (
            select ${fileColumns(sql)} from audio_files f
            where ${isOf(sql, "f", name)} and (f.start_at, f.first_id) < ${keyOf(sql, key)}
            order by f.start_at desc, f.first_id desc limit 1
          ) t) as file,
          (select json_agg(t) from (
            select ${placedColumns(sql)} from chunks c
            where ${isOf(sql, "c", name)} and (c.start_at, c.id) >= ${keyOf(sql, key)}
            order by c.start_at, c.id limit ${limit}
          ) t) as after`
      )
      const { after, file = null, row = null } = found ?? {}
      const before = row === null || file === null ? undefined : { ...placedOf(name, row), file }
      return { before, after: (after ?? []).map((each) => placedOf(name, each)) }
    }),
    after: (key, limit) =>
      Effect.map(
        placedRows(
          sql`
          select ${placedColumns(sql)} from chunks c
          where ${isOf(sql, "c", name)} and (c.start_at, c.id) > ${keyOf(sql, key)}
          order by c.start_at, c.id limit ${limit}`
        ),
        (rows) => rows.map((row) => placedOf(name, row))
      ),
    fileAt: (key) => Effect.map(filesBefore(sql, name, key, 1), ([file]) => file),
    sums: Effect.fnUntraced(function* (from, to) {
      const [sums] = yield* sumRows(
        sql`
        select count(*)::float8 as chunks, coalesce(sum(c.heard), 0)::float8 as captured,
               coalesce(sum(c.lost_samples), 0)::float8 as lost
        from chunks c
        where ${isOf(sql, "c", name)} and (c.start_at, c.id) >= ${keyOf(sql, from)}
          and (c.start_at, c.id) <= ${keyOf(sql, to)}`
      )
      return sums ?? { chunks: 0, captured: 0, lost: 0 }
    })
  }
}
