/** Conversations and their audio: from the first acknowledged sample to the object in the store. */
import { Clock, Context, Duration, Effect, Layer, Metric, Option, Schedule, Stream } from "effect"
import type { Scope } from "effect"
import * as Crypto from "node:crypto"
import { Span, type Timeline } from "./Audio.ts"
import type { Saturated } from "./Bulkhead.ts"
import type { DbError } from "./Db.ts"
import type { Capture, CaptureFailure, CaptureOptions } from "./Recording/Capture.ts"
import type { Chunk } from "./Recording/Chunk.ts"
import { type ChunkPeaks, ChunkRows } from "./Recording/ChunkRows.ts"
import { ChunkUnreadable } from "./Recording/ChunkUnreadable.ts"
import { type ConversationRow, ConversationRows } from "./Recording/ConversationRows.ts"
import { Journal, type JournalStats } from "./Recording/Journal.ts"
import { type CaptureHost, LiveCapture } from "./Recording/LiveCapture.ts"
import { uuidText } from "./Recording/LiveChunk.ts"
import type { LiveConversation } from "./Recording/LiveConversation.ts"
import { LiveConversations } from "./Recording/LiveConversations.ts"
import { type Overlap, Overlaps } from "./Recording/Overlaps.ts"
import { RecordingConfig } from "./Recording/RecordingConfig.ts"
import { StoredAudio } from "./Recording/StoredAudio.ts"
import { Timelines } from "./Recording/Timelines.ts"
import { Uploads } from "./Recording/Uploads.ts"
import type { StorageUnavailable } from "./Storage.ts"

export type { Acknowledgement, Capture, CaptureFailure, CaptureOptions } from "./Recording/Capture.ts"
export { type Chunk, type ChunkState, isReadAsPcm } from "./Recording/Chunk.ts"
export { ChunkUnreadable } from "./Recording/ChunkUnreadable.ts"
export { Import } from "./Recording/Import.ts"
export type { ChunkPeaks } from "./Recording/ChunkRows.ts"
export { RecordingConfig } from "./Recording/RecordingConfig.ts"

/** Why a chunk can't be read, for now or at all. */
export type ReadError = ChunkUnreadable | StorageUnavailable | Saturated | DbError

/** An open capture at one moment. */
export interface CaptureStats {
  /** Its own as long as the process. */
  readonly id: number
  readonly uid: string
  readonly conversation: string | undefined
  readonly sampleRate: number
  readonly openedAt: Date
  /** Received since it was opened. */
  readonly bytes: number
  readonly bytesPerSecond: number
  /** Received and not in the journal yet. */
  readonly waitingBytes: number
  /** Seconds since the oldest audio came that is not acknowledged. */
  readonly ackLag: number
  /** Seconds since the oldest of the conversation's chunks was sealed that the store does not have. */
  readonly uploadLag: number
  /** Its chunks that wait for upload. */
  readonly queued: number
  /** Its chunks that slid out of that queue, since it was opened. */
  readonly deferred: number
}

export interface Conversation {
  readonly uid: string
  readonly id: string
  readonly createdAt: Date
  readonly finishedAt: Option.Option<Date>
  /** A capture feeds it now, on this node. */
  readonly live: boolean
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
    Layer.provide(Uploads.layer),
    Layer.provide([LiveConversations.layer, StoredAudio.layer]),
    Layer.provide([Journal.layer, Overlaps.layer, ChunkRows.layer, ConversationRows.layer, Timelines.layer])
  )
}

const openCaptures = Metric.gauge("spillway_captures", { description: "Captures that are open" })
const failedCaptures = Metric.counter("spillway_captures_failed_total", {
  description: "Captures that could not go on, by why",
  incremental: true
})
const overlapSeconds = Metric.counter("spillway_overlap_seconds_total", {
  description: "Seconds of audio that lay on what was recorded already, and were dropped"
})

/** Read from the journal at once, for playback while live. */
const journalReadBytes = 256 * 1024

const byStart = (a: Chunk, b: Chunk) => a.start - b.start

const make = Effect.gen(function* () {
  const config = yield* RecordingConfig
  const journal = yield* Journal
  const live = yield* LiveConversations
  const uploads = yield* Uploads
  const overlaps = yield* Overlaps
  const chunkRows = yield* ChunkRows
  const conversationRows = yield* ConversationRows
  const stored = yield* StoredAudio
  const timelines = yield* Timelines
  const clock = yield* Clock.Clock
  const scope = yield* Effect.scope
  const run = Effect.runForkWith(yield* Effect.context<never>())
  const fork = <A>(effect: Effect.Effect<A>) => run(Effect.forkIn(effect, scope))
  /** With their numbers. */
  const captures = new Map<LiveCapture, number>()
  let opened = 0

  /** Without the database a capture records all the same; what it replays is then stored twice and trimmed in playback. */
  const load = (conversation: LiveConversation) =>
    conversationRows.ensure(conversation.uid, conversation.id).pipe(
      Effect.andThen(chunkRows.of(conversation.uid, [conversation.id])),
      Effect.map((chunks) => {
        for (const chunk of chunks) {
          if (chunk.state === "lost") continue
          conversation.coverage.add(chunk.start, Span.end(chunk))
        }
        conversation.chunkCount += chunks.length
        conversation.loaded = true
      }),
      Effect.timeout(config.conversationLookup),
      Effect.catch((cause) =>
        Effect.logWarning("recording without what is stored of the conversation", cause).pipe(
          Effect.annotateLogs({ uid: conversation.uid, conversation: conversation.id })
        )
      )
    )

  const host: CaptureHost = {
    bufferBytes: config.captureBuffer,
    usualSeconds: Duration.toSeconds(config.commitInterval) * 1.4,
    backlogBytes: config.captureBacklog,
    chunkSeconds: Duration.toSeconds(config.chunkDuration),
    chunksPerConversation: config.chunksPerConversation,
    chunksPerUser: config.chunksPerUser,
    now: () => clock.currentTimeMillisUnsafe(),
    monotonic: () => performance.now(),
    commitsStarted: journal.started,
    newId: () => Crypto.randomBytes(16),
    markDirty: journal.markDirty,
    markUrgent: journal.markUrgent,
    enter: (capture, id) => {
      const conversation = live.ensure(capture.options.uid, id)
      conversation.captures++
      fork(
        Effect.suspend(() => (conversation.loaded ? Effect.void : load(conversation))).pipe(
          Effect.andThen(Effect.sync(() => capture.entered(conversation)))
        )
      )
    },
    leave: (conversation) => {
      conversation.captures--
      live.settle(conversation)
    },
    sealed: (capture, chunk) => {
      if (uploads.offer(capture, chunk)) capture.deferred++
    },
    abandoned: (chunk) => {
      fork(live.release(chunk))
    },
    overlapped: (capture, conversation, start, audio, kept) => {
      const { sampleRate, uid } = capture.options
      overlaps.note({ uid, conversation, start, sampleRate, audio })
      fork(Metric.update(overlapSeconds, (audio.length / 2 - kept) / sampleRate))
    }
  }

  yield* Effect.sync(() => {
    for (const capture of captures.keys()) {
      capture.sealIfOld()
      capture.measure()
    }
  }).pipe(Effect.repeat(Schedule.spaced("1 second")), Effect.forkScoped)

  const snapshot = (conversation: LiveConversation | undefined): ReadonlyArray<Chunk> =>
    [...(conversation?.chunks ?? [])].filter((chunk) => chunk.durable > 0).map((chunk) => chunk.toChunk())

  type Row = Pick<ConversationRow, "id" | "createdAt" | "finishedAt">
  const headOf = (uid: string, row: Row): Omit<Conversation, "chunks"> => ({
    uid,
    id: row.id,
    createdAt: row.createdAt,
    finishedAt: Option.fromNullishOr(row.finishedAt),
    live: (live.get(uid, row.id)?.captures ?? 0) > 0
  })

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

  const startedAt = clock.currentTimeMillisUnsafe()
  const uploadLag = (conversation: LiveConversation | undefined): number => {
    const sealed = [...(conversation?.chunks ?? [])].filter(({ state }) => state !== "open")
    const now = clock.currentTimeMillisUnsafe()
    const since = sealed.reduce((since, { sealedAt }) => Math.min(since, sealedAt === 0 ? startedAt : sealedAt), now)
    return (now - since) / 1000
  }
  const statsOf = (capture: LiveCapture, id: number): CaptureStats => ({
    id,
    uid: capture.options.uid,
    conversation: capture.conversation?.id,
    sampleRate: capture.options.sampleRate,
    openedAt: new Date(capture.openedAt),
    bytes: capture.received,
    bytesPerSecond: capture.bytesPerSecond,
    waitingBytes: capture.waitingBytes,
    ackLag: capture.ackLag,
    uploadLag: uploadLag(capture.conversation),
    queued: uploads.queuedOf(capture.options.uid, capture),
    deferred: capture.deferred
  })

  const unreadable = (chunk: Chunk, cause: unknown) =>
    new ChunkUnreadable({ uid: chunk.uid, conversation: chunk.conversation, key: chunk.key, cause })

  /** The row knows the object's name; the one that a live chunk had may have moved. */
  const readMoved = Effect.fnUntraced(function* (chunk: Chunk, start: number, end: number) {
    const row = Option.filter(yield* chunkRows.find(chunk), ({ state }) => state === "stored")
    return Option.isNone(row)
      ? Stream.fail(unreadable(chunk, new Error("neither in the journal nor stored")))
      : stored.read(row.value, start, end)
  })

  const read = (chunk: Chunk, start: number, end: number): Stream.Stream<Uint8Array, ReadError> => {
    if (start >= end) return Stream.empty
    if (chunk.state === "stored") return stored.read(chunk, start, end)
    const piece = Math.min(end, start + journalReadBytes)
    return Stream.unwrap(
      Effect.suspend(() => {
        const liveChunk = live.chunk(chunk.uid, chunk.conversation, chunk.id)
        if (liveChunk === undefined) return readMoved(chunk, start, end)
        return journal.read(liveChunk, start, piece).pipe(
          Effect.map((bytes) =>
            Stream.concat(
              Stream.make(bytes),
              Stream.suspend(() => read(chunk, piece, end))
            )
          ),
          Effect.catch((error): Effect.Effect<ReturnType<typeof read>, ChunkUnreadable | DbError> =>
            live.chunk(chunk.uid, chunk.conversation, chunk.id) === undefined
              ? readMoved(chunk, start, end)
              : Effect.fail(unreadable(chunk, error))
          )
        )
      })
    )
  }

  const conversationOf = Effect.fn("Recording.conversation")(function* (uid: string, id: string) {
    const liveConversation = live.get(uid, id)
    const liveChunks = snapshot(liveConversation)
    const row = Option.getOrUndefined(yield* conversationRows.find(uid, id))
    if (row === undefined && liveConversation === undefined) return Option.none()
    const known = row ?? { id, createdAt: liveConversation?.createdAt ?? new Date(0), finishedAt: null }
    return Option.some(assemble(uid, known, yield* chunkRows.of(uid, [id]), liveChunks))
  })

  const endOf = (overlap: Overlap) => overlap.start + overlap.audio.length / 2 / overlap.sampleRate
  yield* Effect.forkScoped(
    overlaps.check({
      read,
      chunks: (overlap) =>
        Effect.map(conversationOf(overlap.uid, overlap.conversation), (found) =>
          Option.match(found, {
            onNone: () => [],
            onSome: ({ chunks }) =>
              chunks.filter((chunk) => chunk.start < endOf(overlap) && Span.end(chunk) > overlap.start)
          })
        )
    })
  )

  return Recording.of({
    open: (options) =>
      Effect.acquireRelease(
        Effect.gen(function* () {
          const onFailure = (failure: CaptureFailure) => {
            fork(Metric.update(Metric.withAttributes(failedCaptures, { reason: failure._tag }), 1))
            options.onFailure(failure)
          }
          const capture = new LiveCapture({ ...options, onFailure }, host)
          captures.set(capture, ++opened)
          yield* Metric.update(openCaptures, captures.size)
          return capture
        }),
        (capture) =>
          Effect.callback<void>((resume) => capture.close(() => resume(Effect.void))).pipe(
            Effect.timeoutOption(config.drainTimeout),
            Effect.andThen(
              Effect.suspend(() => {
                captures.delete(capture)
                return Metric.update(openCaptures, captures.size)
              })
            )
          )
      ),
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
    read: (chunk, range) => read(chunk, range.start, range.end),
    peaks: (uid, conversation, detail) =>
      Stream.suspend(() => {
        const chunks = [...(live.get(uid, conversation)?.chunks ?? [])].filter(({ peaks }) => peaks.samples > 0)
        const now = chunks.map(({ id, peaks }) => ({ id: uuidText(id), peaks: peaks.encode() }))
        return Stream.concat(Stream.fromIterable(now), chunkRows.peaks(uid, conversation, detail))
      }),
    journal: journal.stats,
    captures: () => [...captures].map(([capture, id]) => statsOf(capture, id)),
    uploads: () => ({ ...uploads.stats(), limit: config.uploads })
  })
})
