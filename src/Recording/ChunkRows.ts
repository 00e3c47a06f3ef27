/** Chunks that are stored or lost, in the database. */
import { Context, Effect, Layer, Option, Schema, Stream } from "effect"
import { SqlSchema } from "effect/sql"
import { Peaks, Span } from "../Audio.ts"
import { Db, type DbError } from "../Db.ts"
import { Protection } from "../Storage.ts"
import type { Chunk, ObjectSum } from "./Chunk.ts"
import { type LiveChunk, uuidText } from "./LiveChunk.ts"
import * as PeaksAtRest from "./PeaksAtRest.ts"
import { RecordingConfig } from "./RecordingConfig.ts"

const Row = Schema.Struct({
  id: Schema.String,
  conversation: Schema.String,
  start: Schema.Finite,
  samples: Schema.Finite,
  sampleRate: Schema.Int,
  codec: Span.Codec,
  key: Schema.NullOr(Schema.String),
  bytes: Schema.Finite,
  crc32c: Schema.NullOr(Schema.Finite),
  lost: Schema.Boolean
})

const chunkOf = (uid: string, { bytes, crc32c, key, lost, ...row }: typeof Row.Type): Chunk =>
  Object.assign(row, {
    uid,
    key: key ?? "",
    state: lost ? ("lost" as const) : ("stored" as const),
    object: crc32c === null ? undefined : { bytes, crc32c }
  })

const ConversationIds = Schema.Struct({ uid: Schema.String, conversations: Schema.Array(Schema.String) })

/** The key of a chunk's row. */
export type ChunkName = Pick<LiveChunk, "uid" | "conversation" | "start" | "id">

/** What the store answered for the object of a chunk. */
export interface StoredObject extends ObjectSum {
  readonly key: string
  /** None for what is not PCM16. */
  readonly peaks: Uint8Array | undefined
}

/** A chunk's `Peaks`: of the whole, then of its tenths of a second unless only the whole was asked for. */
export interface ChunkPeaks {
  readonly id: string
  readonly peaks: Uint8Array
}

const Tail = Schema.Struct({
  chunks: Schema.Int,
  end: Schema.NullOr(Schema.Finite),
  clockShift: Schema.NullOr(Schema.Finite)
})
export type Tail = typeof Tail.Type

const PeaksRow = Schema.Struct({
  id: Schema.String,
  start: Schema.Finite,
  peaks: Schema.NullOr(Schema.Uint8Array),
  sealedPeaks: Schema.NullOr(Schema.Uint8Array)
})

export class ChunkRows extends Context.Service<
  ChunkRows,
  {
    /** Creates the conversation's row if it is missing. Idempotent. Replaces the note that the chunk is lost. */
    insertStored(chunk: LiveChunk, object: StoredObject): Effect.Effect<void, DbError>
    /** A span whose audio was given up. No change if the chunk is stored: an object is never hidden by a late note. */
    insertLost(chunk: LiveChunk): Effect.Effect<void, DbError>
    /** Samples of those of `chunks` that are stored, by id. */
    existing(chunks: ReadonlyArray<ChunkName>): Effect.Effect<ReadonlyMap<string, number>, DbError>
    /** By conversation and start, at most the configured number for each conversation. */
    of(uid: string, conversations: ReadonlyArray<string>): Effect.Effect<ReadonlyArray<Chunk>, DbError>
    /** Rows that have a part of the span `from` to `to` (unix seconds, `to` not included), stored or lost, by start. */
    within(
      uid: string,
      conversation: string,
      span: { readonly from: number; readonly to: number }
    ): Stream.Stream<Chunk, DbError>
    /** How many rows a conversation has, the unix second at which they end, and the clock shift of the last of them. */
    tail(uid: string, conversation: string): Effect.Effect<Tail, DbError>
    /** One row, by its whole key. */
    find(chunk: Pick<Chunk, "uid" | "conversation" | "start" | "id">): Effect.Effect<Option.Option<Chunk>, DbError>
    /** By start, a page of the table at a time. Without those that can't be decrypted. */
    peaks(uid: string, conversation: string, detail: "tenths" | "whole"): Stream.Stream<ChunkPeaks, DbError>
  }
>()("spillway/Recording/ChunkRows") {
  static readonly layer = Layer.effect(
    ChunkRows,
    Effect.suspend(() => make)
  )
}

type Sql = Parameters<Parameters<Db["Service"]["read"]>[1]>[0]

const existingBatch = 1_000

/** Rows with the peaks of a minute each: 600 KiB. */
const peaksBatch = 500

/** Rows that `within` reads at a time. */
const spanBatch = 100

/** No chunk is longer: ours are 60 s, imported ones of known writers up to some minutes. */
const longestSeconds = 3_600

/** Last rows of a conversation of which one ends last: chunks that overlap more than so many others are none of ours. */
const tailRows = 64

/** Where the first page begins. */
const initialPage = (): { readonly start: number; readonly id: string } | undefined => undefined

const make = Effect.gen(function* () {
  const db = yield* Db
  const config = yield* RecordingConfig
  const protection = yield* Protection

  const insert = Effect.fnUntraced(function* (operation: string, chunk: LiveChunk, object: StoredObject | undefined) {
    const { peaks, sealedPeaks } = yield* PeaksAtRest.toRow(protection, chunk.uid, object?.key ?? "", object?.peaks)
    yield* db.writeIdempotent(
      operation,
      (sql) => sql`
        with conversation as (
          insert into conversations (uid, id) values (${chunk.uid}, ${chunk.conversation}) on conflict do nothing
        )
        insert into chunks
          (uid, conversation_id, start_at, id, samples, sample_rate, codec, object_key, bytes, crc32c, lost, peaks,
           sealed_peaks, clock_shift)
        values (
          ${chunk.uid}, ${chunk.conversation}, ${chunk.start}::float8, ${uuidText(chunk.id)}::uuid, ${chunk.durable / 2},
          ${chunk.sampleRate}, ${chunk.codec}, ${object?.key ?? null}, ${object?.bytes ?? 0}, ${object?.crc32c ?? null},
          ${object === undefined}, ${peaks}, ${sealedPeaks}, ${chunk.clockShift}::float8
        )
        on conflict (uid, conversation_id, start_at, id) do update set
          samples = excluded.samples, object_key = excluded.object_key, bytes = excluded.bytes,
          crc32c = excluded.crc32c, lost = false, peaks = excluded.peaks, sealed_peaks = excluded.sealed_peaks
        where chunks.lost and not excluded.lost`
    )
  })

  const columns = (sql: Sql) => sql`
    c.id::text as id, c.conversation_id as conversation, c.start_at as start, c.samples::float8 as samples,
    c.sample_rate as "sampleRate", c.codec, c.object_key as key, c.bytes::float8 as bytes, c.crc32c::float8 as crc32c,
    c.lost`

  const allOf = (sql: Sql) =>
    SqlSchema.findAll({
      Request: ConversationIds,
      Result: Row,
      execute: ({ uid, conversations }) => sql`
        select ${columns(sql)}
        from unnest(${conversations}::text[]) as wanted(id)
        cross join lateral (
          select * from chunks where uid = ${uid} and conversation_id = wanted.id
          order by start_at, id limit ${config.chunksPerConversation}
        ) as c`
    })

  const peaksAfter = Effect.fnUntraced(function* (
    uid: string,
    conversation: string,
    after: { readonly start: number; readonly id: string } | undefined,
    detail: "tenths" | "whole"
  ) {
    return yield* db
      .read("ChunkRows.peaks", (sql) =>
        SqlSchema.findAll({
          Request: Schema.Void,
          Result: PeaksRow,
          execute: () => sql`
            select id::text as id, start_at as start,
                   ${detail === "whole" ? sql`substring(peaks for ${Peaks.pairBytes})` : sql`peaks`} as peaks,
                   ${
                     detail === "whole"
                       ? sql`substring(sealed_peaks for ${PeaksAtRest.sealedPairBytes})`
                       : sql`sealed_peaks`
                   } as "sealedPeaks"
            from chunks
            where uid = ${uid} and conversation_id = ${conversation}
              and ${after === undefined ? sql`true` : sql`(start_at, id) > (${after.start}::float8, ${after.id}::uuid)`}
            order by start_at, id limit ${peaksBatch}`
        })(undefined)
      )
      .pipe(Effect.catchTag("SchemaError", Effect.die))
  })

  /** With another secret than the ones that are known, all of a page may be unreadable: that is told once. */
  const opened = Effect.fnUntraced(function* (
    uid: string,
    conversation: string,
    rows: ReadonlyArray<typeof PeaksRow.Type>
  ) {
    const [known, unreadable] = yield* Effect.partition(rows, (row) =>
      Effect.map(PeaksAtRest.fromRow(protection, uid, row), (peaks) => ({ id: row.id, peaks }))
    )
    const [reason] = unreadable
    if (reason !== undefined) {
      yield* Effect.logWarning(`peaks of ${unreadable.length} chunks can't be read`, reason).pipe(
        Effect.annotateLogs({ uid, conversation })
      )
    }
    return known.flatMap(({ id, peaks }) => (peaks === undefined ? [] : [{ id, peaks }]))
  })

  return ChunkRows.of({
    insertStored: Effect.fn("ChunkRows.insertStored")(function* (chunk, object) {
      yield* insert("ChunkRows.insertStored", chunk, object)
    }),
    insertLost: Effect.fn("ChunkRows.insertLost")(function* (chunk) {
      yield* insert("ChunkRows.insertLost", chunk, undefined)
    }),
    existing: Effect.fn("ChunkRows.existing")(function* (chunks) {
      const found = new Map<string, number>()
      for (let at = 0; at < chunks.length; at += existingBatch) {
        const batch = chunks.slice(at, at + existingBatch)
        // Starts as text: the client takes no array in which some numbers are whole and some are not.
        const rows = yield* db.read(
          "ChunkRows.existing",
          (sql) => sql<{ readonly id: string; readonly samples: number }>`
            select c.id::text as id, c.samples::float8 as samples
            from unnest(
              ${batch.map((c) => c.uid)}::text[], ${batch.map((c) => c.conversation)}::text[],
              ${batch.map((c) => String(c.start))}::text[]::float8[], ${batch.map((c) => uuidText(c.id))}::uuid[]
            ) as wanted(uid, conversation_id, start_at, id)
            join chunks c using (uid, conversation_id, start_at, id)
            where not c.lost`
        )
        for (const row of rows) found.set(row.id, row.samples)
      }
      return found
    }),
    of: Effect.fn("ChunkRows.of")(function* (uid, conversations) {
      if (conversations.length === 0) return []
      const rows = yield* db
        .read("ChunkRows.of", (sql) => allOf(sql)({ uid, conversations }))
        .pipe(Effect.catchTag("SchemaError", Effect.die))
      return rows.map((row) => chunkOf(uid, row))
    }),
    within: (uid, conversation, { from, to }) =>
      Stream.paginate(initialPage(), (after) =>
        Effect.gen(function* () {
          const rows = yield* db
            .read("ChunkRows.within", (sql) =>
              SqlSchema.findAll({
                Request: Schema.Void,
                Result: Row,
                execute: () => sql`
                  select ${columns(sql)} from chunks as c
                  where uid = ${uid} and conversation_id = ${conversation}
                    and start_at > ${from - longestSeconds}::float8 and start_at < ${to}::float8
                    and start_at + samples / sample_rate::float8 > ${from}::float8
                    and ${after === undefined ? sql`true` : sql`(start_at, id) > (${after.start}::float8, ${after.id}::uuid)`}
                  order by start_at, id limit ${spanBatch}`
              })(undefined)
            )
            .pipe(Effect.catchTag("SchemaError", Effect.die))
          const last = rows.length < spanBatch ? undefined : rows.at(-1)
          return [rows.map((row) => chunkOf(uid, row)), Option.fromNullishOr(last)] as const
        })
      ),
    tail: Effect.fn("ChunkRows.tail")(function* (uid, conversation) {
      const row = yield* db
        .read("ChunkRows.tail", (sql) =>
          SqlSchema.findOneOption({
            Request: Schema.Void,
            Result: Tail,
            execute: () => sql`
              select v.chunks::int as chunks, last."end", last."clockShift" from conversations as v
              left join lateral (
                select start_at + samples / sample_rate::float8 as "end", clock_shift as "clockShift" from (
                  select start_at, samples, sample_rate, clock_shift from chunks
                  where uid = ${uid} and conversation_id = ${conversation}
                  order by start_at desc, id desc limit ${tailRows}
                ) as tail
                order by 1 desc limit 1
              ) as last on true
              where v.uid = ${uid} and v.id = ${conversation}`
          })(undefined)
        )
        .pipe(Effect.catchTag("SchemaError", Effect.die))
      return Option.getOrElse(row, () => ({ chunks: 0, end: null, clockShift: null }))
    }),
    find: Effect.fn("ChunkRows.find")(function* ({ conversation, id, start, uid }) {
      const row = yield* db
        .read("ChunkRows.find", (sql) =>
          SqlSchema.findOneOption({
            Request: Schema.Void,
            Result: Row,
            execute: () => sql`
              select ${columns(sql)} from chunks as c
              where uid = ${uid} and conversation_id = ${conversation}
                and start_at = ${start}::float8 and id = ${id}::uuid`
          })(undefined)
        )
        .pipe(Effect.catchTag("SchemaError", Effect.die))
      return Option.map(row, (row) => chunkOf(uid, row))
    }),
    peaks: (uid, conversation, detail) =>
      Stream.paginate(initialPage(), (after) =>
        Effect.gen(function* () {
          const rows = yield* peaksAfter(uid, conversation, after, detail)
          const last = rows.length < peaksBatch ? undefined : rows.at(-1)
          return [yield* opened(uid, conversation, rows), Option.fromNullishOr(last)] as const
        })
      )
  })
})
