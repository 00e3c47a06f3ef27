/** Rows of stored and lost chunks. */
import { Context, Effect, Layer, Option, Schema, Stream } from "effect"
import { SqlSchema } from "effect/sql"
import { Db, type DbError } from "../../Db.ts"
import { type DecryptionFailed, Protection } from "../../Encryption.ts"
import { Events } from "../../Events.ts"
import type { Chunk, ObjectChecksum } from "../Chunk.ts"
import { ChunkIndex } from "./ChunkIndex.ts"
import type { NewChunk } from "./ChunkIndex.ts"
import * as ConversationEvents from "../ConversationEvents.ts"
import * as Fence from "../Purge/Fence.ts"
import { ChunkColumns, chunkColumns, chunkOf, type Name, PlacedColumns, placedColumns, placedOf } from "./IndexRows.ts"
import type { JournalChunk } from "../Journal/JournalChunk.ts"
import * as PeaksAtRest from "./PeaksAtRest.ts"
import type { Key, Placed } from "./LayoutMerge.ts"

export type ChunkName = Pick<JournalChunk, "uid" | "conversation" | "start" | "id">

export interface StoredObject extends ObjectChecksum {
  readonly key: string
  /** None if the audio could not be decoded. */
  readonly peaks: Uint8Array | undefined
}

export interface ChunkPeaks extends Placed<Chunk> {
  /** None if missing or undecryptable. */
  readonly peaks: Uint8Array | undefined
}

const Tail = Schema.Struct({
  /** See `Fence`. */
  knownAt: Schema.Finite,
  /** The `Fence.end` of the purges. */
  purgeEnd: Schema.Number,
  /** The conversation has a row of its own, and ended today at the earliest: retention keeps it. */
  isCurrent: Schema.Boolean,
  /** Number of rows. None if the conversation has no row of its own. */
  chunks: Schema.NullOr(Schema.Int),
  /** Unix second at which they end, and the last clock shift. */
  end: Schema.NullOr(Schema.Finite),
  clockShift: Schema.NullOr(Schema.Finite)
})
export type Tail = typeof Tail.Type

const PeaksRow = Schema.Struct({
  ...PlacedColumns.fields,
  peaks: Schema.NullOr(Schema.Uint8Array),
  sealedPeaks: Schema.NullOr(Schema.Uint8Array)
})

export class ChunkRows extends Context.Service<
  ChunkRows,
  {
    /** Idempotent. Creates the conversation's row if it is missing, and replaces a row that marks the chunk as lost. */
    insertStored(chunk: JournalChunk, object: StoredObject): Effect.Effect<void, DbError | Fence.Purged>
    /** Marks the chunk as lost, unless it is stored. */
    insertLost(chunk: JournalChunk): Effect.Effect<void, DbError | Fence.Purged>
    /** Whether the row of another chunk has the object. */
    isReferenced(chunk: JournalChunk, key: string): Effect.Effect<boolean, DbError>
    /** Those of `chunks` that have a row, by id. */
    existing(chunks: ReadonlyArray<ChunkName>): Effect.Effect<ReadonlyMap<string, ExistingChunk>, DbError>
    /** Stored and lost chunks that overlap `from` to `to` (Unix seconds, `to` exclusive), by start. */
    within(
      uid: string,
      conversation: string,
      span: { readonly from: number; readonly to: number }
    ): Stream.Stream<Chunk, DbError>
    /** The end of the stored conversation, and of its last purge. */
    tail(uid: string, conversation: string): Effect.Effect<Tail, DbError>
    /** The clock shifts of the latest 64 chunks: by chunk, the latest one first, and for each its latest shift last. */
    shifted(uid: string, conversation: string): Effect.Effect<ReadonlyArray<ShiftedChunk>, DbError>
    find(chunk: Pick<Chunk, "uid" | "conversation" | "start" | "id">): Effect.Effect<Option.Option<Chunk>, DbError>
    /** Rows from one key to another (inclusive), in order, read page by page. */
    peaks(name: Name, from: Key, to: Key): Stream.Stream<ChunkPeaks, DbError>
  }
>()("spillway/Recording/Catalog/ChunkRows") {
  static readonly layer = Layer.effect(
    ChunkRows,
    Effect.suspend(() => make)
  ).pipe(Layer.provide([ChunkIndex.layer, Events.layer]))
}

/** Unix seconds of a chunk, and the seconds by which some of its audio is placed after its timestamps. */
export interface ShiftedChunk {
  readonly start: number
  readonly end: number
  readonly clockShift: number
}

export interface ExistingChunk {
  readonly samples: number
  readonly isLost: boolean
}

/** Chunks in one query of `existing`. */
const existingBatch = 1_000

/** Rows per page, 600 KiB with the peaks of a minute each. */
const peaksBatch = 500

/** Rows per page of `within`. */
const spanBatch = 100

/** Rows before a time that are searched for chunks that end after it. A chunk overlaps fewer later ones than this. */
const tailRows = 64

const lastId = "ffffffff-ffff-ffff-ffff-ffffffffffff"

const initialPage = (): { readonly start: number; readonly id: string } | undefined => undefined

const make = Effect.gen(function* () {
  const db = yield* Db
  const index = yield* ChunkIndex
  const events = yield* Events
  const protection = yield* Protection

  const insert = Effect.fnUntraced(function* (chunk: JournalChunk, object: StoredObject | undefined) {
    const atRest = yield* PeaksAtRest.toRow(protection, chunk.uid, object?.key ?? "", object?.peaks)
    const { clockShifts, codec, sampleRate, start } = chunk
    const addition: NewChunk = {
      id: chunk.id,
      start,
      samples: chunk.durableSamples,
      sampleRate,
      codec,
      state: object === undefined ? "lost" : "stored",
      key: object?.key ?? "",
      object,
      clockShifts,
      ...atRest
    }
    return yield* index.insert({ uid: chunk.uid, conversation: chunk.conversation }, [addition], {
      knownAt: chunk.knownAt
    })
  })

  const peaksPage = (name: Name, from: Key, isNext: boolean, to: Key) =>
    db
      .read("ChunkRows.peaks", (sql) =>
        SqlSchema.findAll({
          Request: Schema.Void,
          Result: PeaksRow,
          execute: () => sql`
            select ${placedColumns(sql)}, c.peaks, c.sealed_peaks as "sealedPeaks"
            from chunks c
            where c.uid = ${name.uid} and c.conversation_id = ${name.conversation}
              and (c.start_at, c.id) ${isNext ? sql`>` : sql`>=`} (${String(from.start)}::float8, ${from.id}::uuid)
              and (c.start_at, c.id) <= (${String(to.start)}::float8, ${to.id}::uuid)
            order by c.start_at, c.id limit ${peaksBatch}`
        })(undefined)
      )
      .pipe(Effect.catchTag("SchemaError", Effect.die))

  /** Logs once per page: with an unknown secret, all of its peaks are unreadable. */
  const opened = Effect.fnUntraced(function* (name: Name, rows: ReadonlyArray<typeof PeaksRow.Type>) {
    const unreadable: Array<DecryptionFailed> = []
    const all = yield* Effect.forEach(rows, (row) =>
      PeaksAtRest.fromRow(protection, name.uid, row).pipe(
        Effect.catchTag("DecryptionFailed", (reason) => {
          unreadable.push(reason)
          return Effect.succeed(undefined)
        }),
        Effect.map((peaks) => ({ ...placedOf(name, row), peaks }))
      )
    )
    if (unreadable.length > 0) {
      yield* Effect.logWarning(
        `can't decrypt the waveform peaks of ${unreadable.length} chunks: check the encryption secrets`,
        unreadable[0]
      ).pipe(Effect.annotateLogs({ ...name }))
    }
    return all
  })

  return ChunkRows.of({
    insertStored: Effect.fn("ChunkRows.insertStored")(function* (chunk, object) {
      yield* insert(chunk, object)
    }),
    insertLost: Effect.fn("ChunkRows.insertLost")(function* (chunk) {
      const duration = chunk.durableSamples / chunk.sampleRate
      const lost = yield* ConversationEvents.lost(chunk, { start: chunk.start, duration })
      yield* db.transactionIdempotent("ChunkRows.insertLost", (sql) =>
        Effect.flatMap(insert(chunk, undefined), (added) => (added > 0 ? events.append(sql, [lost]) : Effect.void))
      )
    }),
    isReferenced: Effect.fn("ChunkRows.isReferenced")(function* ({ conversation, start, uid }, key) {
      const rows = yield* db.read(
        "ChunkRows.isReferenced",
        (sql) => sql`
          select from chunks
          where uid = ${uid} and conversation_id = ${conversation} and start_at = ${start}::float8 and object_key = ${key}
          limit 1`
      )
      return rows.length > 0
    }),
    existing: Effect.fn("ChunkRows.existing")(function* (chunks) {
      const found = new Map<string, ExistingChunk>()
      for (let at = 0; at < chunks.length; at += existingBatch) {
        const batch = chunks.slice(at, at + existingBatch)
        // Starts as text: the client rejects arrays that mix integers and fractions.
        const rows = yield* db.read(
          "ChunkRows.existing",
          (sql) => sql<ExistingChunk & { readonly id: string }>`
            select c.id::text as id, c.samples::float8 as samples, c.lost as "isLost"
            from unnest(
              ${batch.map((c) => c.uid)}::text[], ${batch.map((c) => c.conversation)}::text[],
              ${batch.map((c) => String(c.start))}::text[]::float8[], ${batch.map((c) => c.id)}::uuid[]
            ) as wanted(uid, conversation_id, start_at, id)
            join chunks c using (uid, conversation_id, start_at, id)`
        )
        for (const { id, isLost, samples } of rows) found.set(id, { isLost, samples })
      }
      return found
    }),
    within: (uid, conversation, { from, to }) =>
      Stream.paginate(initialPage(), (after) =>
        Effect.gen(function* () {
          const rows = yield* db
            .read("ChunkRows.within", (sql) =>
              SqlSchema.findAll({
                Request: Schema.Void,
                Result: ChunkColumns,
                execute: () => sql`
                  select ${chunkColumns(sql)} from (
                    (select * from chunks
                     where uid = ${uid} and conversation_id = ${conversation} and start_at <= ${from}::float8
                       and ${after === undefined}
                     order by start_at desc, id desc limit ${tailRows})
                    union all
                    (select * from chunks
                     where uid = ${uid} and conversation_id = ${conversation} and start_at < ${to}::float8
                       and (start_at, id) > (${after?.start ?? from}::float8, ${after?.id ?? lastId}::uuid)
                     order by start_at, id limit ${spanBatch})
                  ) as c
                  where c.start_at + c.samples / c.sample_rate::float8 > ${from}::float8
                  order by c.start_at, c.id`
              })(undefined)
            )
            .pipe(Effect.catchTag("SchemaError", Effect.die))
          const last = rows.filter(({ start }) => start > from).length < spanBatch ? undefined : rows.at(-1)
          return [rows.map((row) => chunkOf({ uid, conversation }, row)), Option.fromNullishOr(last)] as const
        })
      ),
    tail: Effect.fn("ChunkRows.tail")(function* (uid, conversation) {
      return yield* db
        .read("ChunkRows.tail", (sql) =>
          SqlSchema.findOne({
            Request: Schema.Void,
            Result: Tail,
            execute: () => sql`
              select ${Fence.now(sql)} as "knownAt",
                     ${Fence.end(sql, uid, conversation)} as "purgeEnd",
                     coalesce(v.ended_on >= (now() at time zone 'UTC')::date, false) as "isCurrent",
                     v.chunks::int as chunks, last."end", last."clockShift"
              from (select) as one
              left join conversations as v on v.uid = ${uid} and v.id = ${conversation}
              left join lateral (
                select start_at + samples / sample_rate::float8 as "end",
                       coalesce(clock_shifts[cardinality(clock_shifts)], clock_shift) as "clockShift"
                from (
                  select start_at, samples, sample_rate, clock_shift, clock_shifts from chunks
                  where uid = ${uid} and conversation_id = ${conversation}
                  order by start_at desc, id desc limit ${tailRows}
                ) as tail
                order by 1 desc limit 1
              ) as last on true`
          })(undefined)
        )
        .pipe(Effect.catchTag(["SchemaError", "NoSuchElementError"], Effect.die))
    }),
    shifted: Effect.fn("ChunkRows.shifted")(function* (uid, conversation) {
      return yield* db.read(
        "ChunkRows.shifted",
        (sql) => sql<ShiftedChunk>`
          select start_at as start, start_at + samples / sample_rate::float8 as "end",
                 unnest(coalesce(clock_shifts, array[clock_shift])) as "clockShift"
          from (
            select start_at, samples, sample_rate, clock_shift, clock_shifts from chunks
            where uid = ${uid} and conversation_id = ${conversation}
            order by start_at desc, id desc limit ${tailRows}
          ) as latest
          where clock_shift > 0`
      )
    }),
    find: Effect.fn("ChunkRows.find")(function* ({ conversation, id, start, uid }) {
      const row = yield* db
        .read("ChunkRows.find", (sql) =>
          SqlSchema.findOneOption({
            Request: Schema.Void,
            Result: ChunkColumns,
            execute: () => sql`
              select ${chunkColumns(sql)} from chunks as c
              where uid = ${uid} and conversation_id = ${conversation}
                and start_at = ${start}::float8 and id = ${id}::uuid`
          })(undefined)
        )
        .pipe(Effect.catchTag("SchemaError", Effect.die))
      return Option.map(row, (row) => chunkOf({ uid, conversation }, row))
    }),
    peaks: (name, from, to) =>
      Stream.paginate({ from, isNext: false }, (at) =>
        Effect.gen(function* () {
          const rows = yield* peaksPage(name, at.from, at.isNext, to)
          const last = rows.length < peaksBatch ? undefined : rows.at(-1)
          const next = last === undefined ? Option.none() : Option.some({ from: last, isNext: true })
          return [yield* opened(name, rows), next] as const
        })
      )
  })
})
