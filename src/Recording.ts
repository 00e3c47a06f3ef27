/** Conversations and their audio: from the first acknowledged sample to the object in the store. */
import { Context, Effect, Layer, Stream } from "effect"
import type { Scope } from "effect"
import { DbCaller, ingestCaller } from "./Db.ts"
import type { Capture, CaptureOptions } from "./Recording/Capture/Capture.ts"
import { Captures, type CaptureStats } from "./Recording/Capture/Captures.ts"
import { Catalog } from "./Recording/Catalog/Catalog.ts"
import type { Chunk } from "./Recording/Chunk.ts"
import { ChunkAudio, type ReadError } from "./Recording/Read/ChunkAudio.ts"
import { ChunkRows } from "./Recording/Catalog/ChunkRows.ts"
import { ConversationRows } from "./Recording/Catalog/ConversationRows.ts"
import { Journal, type JournalStats } from "./Recording/Journal/Journal.ts"
import { Erasure, maxSummed, type Target } from "./Recording/Purge/Erasure.ts"
import { Opus } from "./Opus.ts"
import { LiveConversations } from "./Recording/Journal/LiveConversations.ts"
import { PurgeWatch } from "./Recording/Purge/PurgeWatch.ts"
import { RecordedAudio } from "./Recording/Capture/RecordedAudio.ts"
import { RecordingConfig } from "./Recording/RecordingConfig.ts"
import { StoredAudio } from "./Recording/Read/StoredAudio.ts"
import { Uploads } from "./Recording/Upload/Uploads.ts"

export type { CaptureStats, ConversationName } from "./Recording/Capture/Captures.ts"
export type { ReadError } from "./Recording/Read/ChunkAudio.ts"
export type { Acknowledgement, Capture, CaptureFailure, CaptureOptions } from "./Recording/Capture/Capture.ts"
export type { Chunk } from "./Recording/Chunk.ts"
export { ChunkUnreadable } from "./Recording/Read/StoredAudio.ts"
export { Import } from "./Recording/Import/Import.ts"
export { Orphans, type OrphansPage } from "./Recording/Orphans/Orphans.ts"
export { filesBefore } from "./Recording/Catalog/Catalog.ts"
export type { Conversation, WaveformSpan, WaveformData } from "./Recording/Catalog/Catalog.ts"
export { AudioFileChanged, type AudioFileHead, type RecordedFile } from "./Recording/Catalog/RecordedFile.ts"
export { Erasure, maxSummed, type Target }
export * as ConversationEvents from "./Recording/ConversationEvents.ts"
export * as Fence from "./Recording/Purge/Fence.ts"
export { RecordingConfig } from "./Recording/RecordingConfig.ts"

/** `end`: Unix second at which the durable audio ends, as far as this node knows. */
export interface Progress {
  readonly isGrowing: boolean
  readonly end: number
}

export class Recording extends Context.Service<
  Recording,
  {
    /** The capture ends with the scope: its chunk is sealed and what was appended is made durable. */
    open(options: CaptureOptions): Effect.Effect<Capture, never, Scope.Scope>
    /** Newest first, each with its latest `files` audio files. `before` is the `next` of the previous page. */
    readonly conversations: Catalog["Service"]["list"]
    /** None if the user has no such conversation. `before` is the `filesNext` of the previous page. */
    readonly conversation: Catalog["Service"]["get"]
    readonly files: Catalog["Service"]["files"]
    readonly file: Catalog["Service"]["file"]
    readonly growing: Catalog["Service"]["growing"]
    /** Reads no database. */
    progress(target: { readonly uid: string; readonly conversation: string }): Effect.Effect<Progress>
    readonly waveform: Catalog["Service"]["waveform"]
    /** Bytes `start` to `end` (exclusive) of a chunk's audio, from the journal if it has them, else from the store. */
    read(chunk: Chunk, range: { readonly start: number; readonly end: number }): Stream.Stream<Uint8Array, ReadError>
    /** The same bytes in one buffer. The caller bounds the range. */
    piece(chunk: Chunk, range: { readonly start: number; readonly end: number }): Effect.Effect<Uint8Array, ReadError>
    /** The packets of an Opus chunk, as many as it has samples. */
    packets(chunk: Chunk): Effect.Effect<ReadonlyArray<Uint8Array>, ReadError>
    /** Ends captures of purged conversations on this node, and releases what the journal has of them. */
    readonly endPurged: PurgeWatch["Service"]["check"]
    readonly seal: Captures["Service"]["seal"]
    readonly flush: Captures["Service"]["flush"]
    /** Marks the conversation as finished now. False if there is none, or it is deleted. Joins a transaction. */
    readonly finish: ConversationRows["Service"]["finish"]
    /** Whether this node records the conversation, or one of the user, or has audio of it in its journal. */
    isLive(target: Target): Effect.Effect<boolean>
    readonly journal: () => JournalStats
    readonly captures: () => ReadonlyArray<CaptureStats>
    /** Called when the node begins to stop: what happens from then on is logged when the uploads end. */
    readonly stopping: Effect.Effect<void>
    /** Queued chunks, running uploads, and the most that run at once. */
    readonly uploads: () => { readonly queued: number; readonly active: number; readonly limit: number }
  }
>()("spillway/Recording") {
  static readonly layerNoDeps = Layer.effect(
    Recording,
    Effect.suspend(() => make)
  )
  static readonly layer = this.layerNoDeps.pipe(
    Layer.provide(Captures.layer.pipe(Layer.provide(RecordedAudio.layer))),
    Layer.provide([ChunkAudio.layer, Catalog.layer]),
    Layer.provide(Uploads.layer),
    Layer.provide(PurgeWatch.layer),
    Layer.provide([LiveConversations.layer, StoredAudio.layer]),
    Layer.provide([Journal.layer, ChunkRows.layer, ConversationRows.layer, Opus.layer]),
    // Queries of background work; requests provide their own caller.
    Layer.provide(Layer.succeed(DbCaller, ingestCaller))
  )
}

const make = Effect.gen(function* () {
  const config = yield* RecordingConfig
  const captures = yield* Captures
  const catalog = yield* Catalog
  const audio = yield* ChunkAudio
  const journal = yield* Journal
  const uploads = yield* Uploads
  const live = yield* LiveConversations
  const purges = yield* PurgeWatch
  const { finish } = yield* ConversationRows

  return Recording.of({
    open: captures.open,
    conversations: catalog.list,
    conversation: catalog.get,
    files: catalog.files,
    file: catalog.file,
    growing: catalog.growing,
    progress: ({ conversation, uid }) =>
      Effect.sync(() => {
        const found = live.get(uid, conversation)
        return { isGrowing: found?.isGrowing === true, end: found?.durableEnd ?? -Infinity }
      }),
    waveform: catalog.waveform,
    read: (chunk, range) => audio.read(chunk, range.start, range.end),
    piece: (chunk, range) => audio.piece(chunk, range.start, range.end),
    packets: audio.packets,
    endPurged: purges.check,
    seal: captures.seal,
    flush: captures.flush,
    finish,
    isLive: ({ conversation, uid }) =>
      Effect.sync(() =>
        [...(conversation === undefined ? live.of(uid) : [live.get(uid, conversation)])].some(
          (found) => found?.isPurged === false
        )
      ),
    journal: journal.stats,
    captures: captures.list,
    stopping: Effect.sync(() => uploads.stopping(captures.list().length)),
    uploads: () => ({ ...uploads.stats(), limit: config.uploads })
  })
})
