/** Conversations and their audio: from the first acknowledged sample to the object in the store. */
import { Context, Effect, Layer, Option, Stream } from "effect"
import type { Scope } from "effect"
import type { Timeline } from "./Audio.ts"
import { DbCaller, type DbError, ingestCaller } from "./Db.ts"
import type { Capture, CaptureOptions } from "./Recording/Capture.ts"
import { Captures, type CaptureStats } from "./Recording/Captures.ts"
import type { Chunk } from "./Recording/Chunk.ts"
import { ChunkAudio, type ReadError } from "./Recording/ChunkAudio.ts"
import { type ChunkPeaks, ChunkRows } from "./Recording/ChunkRows.ts"
import { type ConversationRow, ConversationRows } from "./Recording/ConversationRows.ts"
import { Journal, type JournalStats } from "./Recording/Journal.ts"
import { uuidText } from "./Recording/LiveChunk.ts"
import type { LiveConversation } from "./Recording/LiveConversation.ts"
import { LiveConversations } from "./Recording/LiveConversations.ts"
import { RecordedAudio } from "./Recording/RecordedAudio.ts"
import { RecordingConfig } from "./Recording/RecordingConfig.ts"
import { StoredAudio } from "./Recording/StoredAudio.ts"
import { Timelines } from "./Recording/Timelines.ts"
import { Uploads } from "./Recording/Uploads.ts"

export type { CaptureStats } from "./Recording/Captures.ts"
export type { ReadError } from "./Recording/ChunkAudio.ts"
export type { Acknowledgement, Capture, CaptureFailure, CaptureOptions } from "./Recording/Capture.ts"
export { type Chunk, type ChunkState, isReadAsPcm } from "./Recording/Chunk.ts"
export { ChunkUnreadable } from "./Recording/ChunkUnreadable.ts"
export { Import } from "./Recording/Import.ts"
export type { ChunkPeaks } from "./Recording/ChunkRows.ts"
export { RecordingConfig } from "./Recording/RecordingConfig.ts"

export interface Conversation {
  readonly uid: string
  readonly id: string
  readonly createdAt: Date
  readonly finishedAt: Option.Option<Date>
  /** A capture feeds it now, on this node. */
  readonly live: boolean
  /** Chunks with audio that lies later than its stamps, because these lay in recorded time. */
  readonly clockShifts: number
  /** By start, at most the configured number of chunks. */
  readonly chunks: ReadonlyArray<Chunk>
}

/** A conversation with what its chunks come to in place of them. */
export interface Listed extends Omit<Conversation, "chunks"> {
  /** By start. */
  readonly files: ReadonlyArray<Timeline.Summary>
}

export class Recording extends Context.Service<
  Recording,
  {
    /** The capture ends with the scope: its chunk is sealed and what was appended is made durable. */
    open(options: CaptureOptions): Effect.Effect<Capture, never, Scope.Scope>
    /** Newest first. `before` is the `next` of the page before, `gapSeconds` the longest gap within an audio file. */
    conversations(
      uid: string,
      page: { readonly before?: string; readonly limit: number; readonly gapSeconds: number }
    ): Effect.Effect<{ readonly conversations: ReadonlyArray<Listed>; readonly next: string | undefined }, DbError>
    /** None when it does not exist or is somebody else's. */
    conversation(uid: string, id: string): Effect.Effect<Option.Option<Conversation>, DbError>
    /** Bytes `start` to `end` (not included) of a chunk's audio, from the journal while it is there, else from the store. */
    read(chunk: Chunk, range: { readonly start: number; readonly end: number }): Stream.Stream<Uint8Array, ReadError>
    /** `Peaks` of the chunks: what is in the journal first, then what is stored; a chunk may be in both. */
    peaks(uid: string, conversation: string, detail: "tenths" | "whole"): Stream.Stream<ChunkPeaks, DbError>
    /** What the journal holds and may hold. */
    readonly journal: () => JournalStats
    /** Captures that are open. */
    readonly captures: () => ReadonlyArray<CaptureStats>
    /** Chunks that wait for upload, and uploads that go on, of as many as may. */
    readonly uploads: () => { readonly queued: number; readonly active: number; readonly limit: number }
  }
>()("spillway/Recording") {
  static readonly layerNoDeps = Layer.effect(
    Recording,
    Effect.suspend(() => make)
  )
  static readonly layer = this.layerNoDeps.pipe(
    Layer.provide(Captures.layer.pipe(Layer.provide(RecordedAudio.layer))),
    Layer.provide(ChunkAudio.layer),
    Layer.provide(Uploads.layer),
    Layer.provide([LiveConversations.layer, StoredAudio.layer]),
    Layer.provide([Journal.layer, ChunkRows.layer, ConversationRows.layer, Timelines.layer]),
    // What runs here by itself; requests run on behalf of their users.
    Layer.provide(Layer.succeed(DbCaller, ingestCaller))
  )
}

const byStart = (a: Chunk, b: Chunk) => a.start - b.start

const make = Effect.gen(function* () {
  const config = yield* RecordingConfig
  const captures = yield* Captures
  const audio = yield* ChunkAudio
  const journal = yield* Journal
  const live = yield* LiveConversations
  const uploads = yield* Uploads
  const chunkRows = yield* ChunkRows
  const conversationRows = yield* ConversationRows
  const timelines = yield* Timelines
  const snapshot = (conversation: LiveConversation | undefined): ReadonlyArray<Chunk> =>
    [...(conversation?.chunks ?? [])].filter((chunk) => chunk.durable > 0).map((chunk) => chunk.toChunk())

  type Row = Pick<ConversationRow, "id" | "createdAt" | "finishedAt" | "clockShifts">
  const headOf = (uid: string, row: Row): Omit<Conversation, "chunks"> => {
    const conversation = live.get(uid, row.id)
    const shifted = [...(conversation?.chunks ?? [])].filter(({ clockShift, durable }) => clockShift > 0 && durable > 0)
    return {
      uid,
      id: row.id,
      createdAt: row.createdAt,
      finishedAt: Option.fromNullishOr(row.finishedAt),
      live: (conversation?.captures ?? 0) > 0,
      clockShifts: row.clockShifts + shifted.length
    }
  }

  /** Live chunks are looked at before the database is asked: one that is stored in between is then in both, never in none. */
  const assemble = (
    uid: string,
    row: Row,
    stored: ReadonlyArray<Chunk>,
    liveChunks: ReadonlyArray<Chunk>
  ): Conversation => {
    const ids = new Set(stored.map((chunk) => chunk.id))
    return {
      ...headOf(uid, row),
      chunks: [...stored, ...liveChunks.filter((chunk) => !ids.has(chunk.id))].sort(byStart)
    }
  }

  const conversationOf = Effect.fn("Recording.conversation")(function* (uid: string, id: string) {
    const liveConversation = live.get(uid, id)
    const liveChunks = snapshot(liveConversation)
    const row = Option.getOrUndefined(yield* conversationRows.find(uid, id))
    if (row === undefined && liveConversation === undefined) return Option.none()
    const known = row ?? { id, createdAt: liveConversation?.createdAt ?? new Date(0), finishedAt: null, clockShifts: 0 }
    return Option.some(assemble(uid, known, yield* chunkRows.of(uid, [id]), liveChunks))
  })

  return Recording.of({
    open: captures.open,
    conversations: Effect.fn("Recording.conversations")(function* (uid, { before, gapSeconds, limit }) {
      const rows = yield* conversationRows.latest(uid, before, limit + 1)
      const page = rows.slice(0, limit)
      const asked = page.map(({ id }) => ({ id, live: snapshot(live.get(uid, id)) }))
      const files = yield* timelines.of(uid, asked, gapSeconds)
      return {
        conversations: page.map((row, index) => ({ ...headOf(uid, row), files: files[index] ?? [] })),
        next: rows.length > limit ? page.at(-1)?.cursor : undefined
      }
    }),
    conversation: conversationOf,
    read: (chunk, range) => audio.read(chunk, range.start, range.end),
    peaks: (uid, conversation, detail) =>
      Stream.suspend(() => {
        const chunks = [...(live.get(uid, conversation)?.chunks ?? [])].filter(({ peaks }) => peaks.samples > 0)
        const now = chunks.map(({ id, peaks }) => ({ id: uuidText(id), peaks: peaks.encode() }))
        return Stream.concat(Stream.fromIterable(now), chunkRows.peaks(uid, conversation, detail))
      }),
    journal: journal.stats,
    captures: captures.list,
    uploads: () => ({ ...uploads.stats(), limit: config.uploads })
  })
})
