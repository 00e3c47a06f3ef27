/** Rows of imported chunks, whose objects are already in the store. */
import { createHash } from "node:crypto"
import { Context, Effect, Layer } from "effect"
import { Span } from "../../Audio.ts"
import { Db, type DbError } from "../../Db.ts"
import { Protection } from "../../Encryption.ts"
import * as Fence from "../Purge/Fence.ts"
import { ChunkIndex } from "./ChunkIndex.ts"
import type { NewChunk } from "./ChunkIndex.ts"
import * as PeaksAtRest from "./PeaksAtRest.ts"
import { hoursOf } from "./WaveformHours.ts"

export interface ImportedChunk extends Span.Span {
  readonly conversation: string
  readonly codec: Span.Codec
  readonly key: string
  readonly bytes: number
  readonly crc32c: number
  readonly peaks: Uint8Array | undefined
}

export interface KnownChunk extends Span.Span {
  readonly conversation: string
  readonly id: string
  readonly key: string
  readonly hasPeaks: boolean
}

export class ImportRows extends Context.Service<
  ImportRows,
  {
    /** Taken before objects are listed, it keeps those from being indexed that a purge deletes. See `Fence`. */
    readonly knownAt: Effect.Effect<number, DbError>
    /** Inserts chunks whose key has no row, and missing conversations. Returns the number of new rows, and purged keys. */
    insert(
      uid: string,
      chunks: ReadonlyArray<ImportedChunk>,
      knownAt: number
    ): Effect.Effect<{ readonly added: number; readonly purged: ReadonlyArray<string> }, DbError>
    /** The indexed ones among `objects`, by key. */
    known(
      uid: string,
      objects: ReadonlyArray<Pick<KnownChunk, "key" | "conversation" | "start">>
    ): Effect.Effect<ReadonlyMap<string, KnownChunk>, DbError>
    /** Adds peaks to rows that have none. */
    addPeaks(
      uid: string,
      chunks: ReadonlyArray<KnownChunk & { readonly peaks: Uint8Array | undefined }>
    ): Effect.Effect<void, DbError>
  }
>()("spillway/Recording/Catalog/ImportRows") {
  static readonly layer = Layer.effect(
    ImportRows,
    Effect.suspend(() => make)
  ).pipe(Layer.provide(ChunkIndex.layer))
}

/** A UUID of version 8 (RFC 9562, section 5.8) derived from the key, so that repeated imports agree. */
const idOf = (key: string): string => {
  const hex = createHash("sha256").update(key).digest("hex")
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20, 32)}`
}

/** Largest difference between the starts in an object's name and in its metadata; its row may have either. */
const nearSeconds = 1

/** As text: the client rejects byte arrays that contain nulls. */
const hexOf = (bytes: Uint8Array | null): string => (bytes === null ? "" : Buffer.from(bytes).toString("hex"))

const make = Effect.gen(function* () {
  const db = yield* Db
  const index = yield* ChunkIndex
  const protection = yield* Protection

  const peaksOf = Effect.fnUntraced(function* (
    uid: string,
    chunks: ReadonlyArray<Pick<ImportedChunk, "key" | "peaks">>
  ) {
    const all = yield* Effect.forEach(chunks, ({ key, peaks }) => PeaksAtRest.toRow(protection, uid, key, peaks))
    return { clear: all.map(({ peaks }) => hexOf(peaks)), sealed: all.map(({ sealedPeaks }) => hexOf(sealedPeaks)) }
  })

  const find = Effect.fn("ImportRows.known")(function* (
    uid: string,
    objects: ReadonlyArray<Pick<KnownChunk, "key" | "conversation" | "start">>
  ) {
    const wanted = objects.map(({ conversation, key, start }) => ({ conversation, key, start }))
    const rows = yield* db.read(
      "ImportRows.known",
      (sql) => sql<KnownChunk>`
        select w."conversation", c.id::text as id, w.key, c.start_at as start, c.samples::float8 as samples,
               c.sample_rate as "sampleRate", c.peaks is not null or c.sealed_peaks is not null as "hasPeaks"
        from json_to_recordset(${JSON.stringify(wanted)}::json) as w("conversation" text, key text, start float8)
        cross join lateral (
          select * from chunks
          where uid = ${uid} and conversation_id = w."conversation"
            and start_at between w.start - ${nearSeconds}::float8 and w.start + ${nearSeconds}::float8
            and object_key = w.key
          limit 1
        ) as c`
    )
    return new Map(rows.map((row) => [row.key, row]))
  })

  return ImportRows.of({
    knownAt: db
      .read("ImportRows.knownAt", (sql) => sql<{ readonly now: number }>`select ${Fence.now(sql)} as now`)
      .pipe(Effect.map(([row]) => row?.now ?? 0)),
    known: find,
    addPeaks: Effect.fn("ImportRows.addPeaks")(function* (uid, chunks) {
      const drawn = chunks.filter(({ hasPeaks, peaks }) => !hasPeaks && peaks !== undefined)
      if (drawn.length === 0) return
      const { clear, sealed } = yield* peaksOf(uid, drawn)
      const hours = drawn.flatMap((chunk) =>
        hoursOf(chunk.start, Span.end(chunk)).map((hour) => ({ conversation: chunk.conversation, hour }))
      )
      yield* db.writeIdempotent(
        "ImportRows.addPeaks",
        (sql) => sql`
          with stale as (
            insert into waveform_hours (uid, conversation_id, hour)
            select v.uid, v.id, h.hour
            from (
              select distinct w."conversation", w.hour
              from json_to_recordset(${JSON.stringify(hours)}::json) as w("conversation" text, hour bigint)
            ) h
            join conversations v on v.uid = ${uid} and v.id = h."conversation" and h.hour < v.drawn_until
            on conflict (uid, conversation_id, hour) do update set pairs = null, sealed_pairs = null
          ), noticed as (
            update conversations set revision = revision + 1
            where uid = ${uid} and id = any(${drawn.map((c) => c.conversation)}::text[])
          )
          update chunks c
          set peaks = decode(nullif(w.peaks, ''), 'hex'), sealed_peaks = decode(nullif(w.sealed, ''), 'hex')
          from unnest(
            ${drawn.map((c) => c.conversation)}::text[], ${drawn.map((c) => String(c.start))}::text[]::float8[],
            ${drawn.map((c) => c.id)}::uuid[], ${clear}::text[], ${sealed}::text[]
          ) as w(conversation_id, start_at, id, peaks, sealed)
          where c.uid = ${uid} and c.conversation_id = w.conversation_id and c.start_at = w.start_at and c.id = w.id
            and c.peaks is null and c.sealed_peaks is null`
      )
    }),
    insert: Effect.fn("ImportRows.insert")(function* (uid, chunks, knownAt) {
      let added = 0
      const purged: Array<string> = []
      const known = yield* find(uid, chunks)
      const unknown = chunks.filter(({ key }) => !known.has(key))
      for (const [conversation, fresh] of Map.groupBy(unknown, (chunk) => chunk.conversation)) {
        const began = fresh.reduce((began, { start }) => Math.min(began, start), Infinity)
        const additions = yield* Effect.forEach(fresh, (chunk) =>
          Effect.map(PeaksAtRest.toRow(protection, uid, chunk.key, chunk.peaks), (atRest): NewChunk => ({
            ...chunk,
            ...atRest,
            id: idOf(chunk.key),
            state: "stored",
            object: { bytes: chunk.bytes, crc32c: chunk.crc32c }
          }))
        )
        added += yield* index.insert({ uid, conversation }, additions, { knownAt, createdAt: began }).pipe(
          Effect.catchTag("Purged", () => {
            for (const { key } of fresh) purged.push(key)
            return Effect.succeed(0)
          })
        )
      }
      return { added, purged }
    })
  })
})
