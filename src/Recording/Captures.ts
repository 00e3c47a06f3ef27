/** Captures that are open on this node: they meet the journal, the uploads and the database here. */
import { Clock, Context, Duration, Effect, Layer, Metric, Schedule } from "effect"
import type { Scope } from "effect"
import * as Crypto from "node:crypto"
import { Span } from "../Audio.ts"
import type { Capture, CaptureFailure, CaptureOptions } from "./Capture.ts"
import { ChunkRows } from "./ChunkRows.ts"
import { ConversationRows } from "./ConversationRows.ts"
import { Journal } from "./Journal.ts"
import type { CaptureHost } from "./CaptureHost.ts"
import { LiveCapture } from "./LiveCapture.ts"
import type { LiveConversation } from "./LiveConversation.ts"
import { LiveConversations } from "./LiveConversations.ts"
import { Overlaps } from "./Overlaps.ts"
import { RecordingConfig } from "./RecordingConfig.ts"
import { Uploads } from "./Uploads.ts"

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

export class Captures extends Context.Service<
  Captures,
  {
    /** The capture ends with the scope: its chunk is sealed and what was appended is made durable. */
    open(options: CaptureOptions): Effect.Effect<Capture, never, Scope.Scope>
    readonly list: () => ReadonlyArray<CaptureStats>
  }
>()("spillway/Recording/Captures") {
  static readonly layer = Layer.effect(
    Captures,
    Effect.suspend(() => make)
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

const make = Effect.gen(function* () {
  const config = yield* RecordingConfig
  const journal = yield* Journal
  const live = yield* LiveConversations
  const uploads = yield* Uploads
  const overlaps = yield* Overlaps
  const chunkRows = yield* ChunkRows
  const conversationRows = yield* ConversationRows
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
        if (conversation.loaded) return
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

  return Captures.of({
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
    list: () => [...captures].map(([capture, id]) => statsOf(capture, id))
  })
})
