/** Captures that are open on this node: they meet the journal, the uploads and the database here. */
import { type Cause, Clock, Context, Duration, Effect, Exit, Layer, Metric, Random, Schedule } from "effect"
import type { Scope } from "effect"
import * as Crypto from "node:crypto"
import type { Capture, CaptureFailure, CaptureOptions } from "./Capture.ts"
import { ChunkRows } from "../Catalog/ChunkRows.ts"
import { ConversationRows } from "../Catalog/ConversationRows.ts"
import { Journal } from "../Journal/Journal.ts"
import type { CaptureHost } from "./CaptureHost.ts"
import { CaptureWriter } from "./CaptureWriter.ts"
import type { LiveConversation } from "../Journal/LiveConversation.ts"
import { LiveConversations } from "../Journal/LiveConversations.ts"
import { RecordedAudio } from "./RecordedAudio.ts"
import { RecordingConfig } from "../RecordingConfig.ts"
import { Uploads } from "../Upload/Uploads.ts"

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
>()("spillway/Recording/Capture/Captures") {
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
const replayedSeconds = Metric.counter("spillway_replayed_seconds_total", {
  description: "Seconds of audio that were sent again, and dropped"
})
const clockShifts = Metric.counter("spillway_clock_shifts_total", {
  description: "Times that new audio had stamps in recorded time, and was placed later than they say",
  incremental: true
})

/** Between two lines of the log about one capture's audio. */
const toldMillis = 60_000

/** A shorter first chunk would be an object for next to no audio. */
const leastShare = 0.1

const make = Effect.gen(function* () {
  const config = yield* RecordingConfig
  const journal = yield* Journal
  const live = yield* LiveConversations
  const uploads = yield* Uploads
  const recorded = yield* RecordedAudio
  const chunkRows = yield* ChunkRows
  const conversationRows = yield* ConversationRows
  const clock = yield* Clock.Clock
  const random = yield* Random.Random
  const scope = yield* Effect.scope
  const run = Effect.runForkWith(yield* Effect.context<never>())
  const fork = <A>(effect: Effect.Effect<A>) => run(Effect.forkIn(effect, scope))
  const captures = new Map<CaptureWriter, { readonly id: number; toldAt: number }>()
  let opened = 0

  /** At most one line a minute and capture. */
  const tell = (capture: CaptureWriter, message: string, ...details: ReadonlyArray<unknown>) => {
    const known = captures.get(capture)
    const now = clock.currentTimeMillisUnsafe()
    if (known === undefined || now - known.toldAt < toldMillis) return
    known.toldAt = now
    const { uid } = capture.options
    fork(Effect.annotateLogs(Effect.logWarning(message, ...details), { uid, conversation: capture.conversation?.id }))
  }

  const load = (conversation: LiveConversation) =>
    conversationRows.ensure(conversation.uid, conversation.id).pipe(
      Effect.andThen(chunkRows.tail(conversation.uid, conversation.id)),
      Effect.map(({ chunks, clockShift, end }) => conversation.load(chunks, end ?? -Infinity, clockShift ?? 0)),
      Effect.timeout(config.conversationLookup)
    )

  /** Until what is stored is known, and as long as somebody records. */
  const loadLater = (conversation: LiveConversation) =>
    load(conversation).pipe(
      Effect.ignoreCause,
      Effect.delay(config.conversationLookup),
      Effect.repeat({ while: () => !conversation.loaded && conversation.captures > 0 })
    )

  /** Without the database a capture records all the same: by its stamps, and beside what the journal has. */
  const loadNow = (conversation: LiveConversation) =>
    Effect.catchCause(load(conversation), (cause) =>
      Effect.logWarning("recording without what is stored of the conversation", cause).pipe(
        Effect.annotateLogs({ uid: conversation.uid, conversation: conversation.id }),
        Effect.andThen(Effect.sync(() => fork(loadLater(conversation))))
      )
    )

  /** Waits for what the last feeder received: the next one's replays are compared with what is durable. */
  const takeOver = (conversation: LiveConversation, capture: CaptureWriter) => {
    const last = conversation.feeder
    conversation.feeder = capture
    return last === undefined
      ? Effect.void
      : Effect.callback<void>((resume) => last.supersede(() => resume(Effect.void))).pipe(
          Effect.timeoutOption(config.drainTimeout)
        )
  }

  const logDefect = Effect.catchCause((cause: Cause.Cause<never>) => Effect.logError("a capture can't go on", cause))

  const host: CaptureHost = {
    bufferBytes: config.captureBuffer,
    usualSeconds: Duration.toSeconds(config.commitInterval) * 1.4,
    backlogBytes: config.captureBacklog,
    chunkSeconds: Duration.toSeconds(config.chunkDuration),
    firstShare: () => leastShare + (1 - leastShare) * random.nextDoubleUnsafe(),
    chunksPerConversation: config.chunksPerConversation,
    chunksPerUser: config.chunksPerUser,
    now: () => clock.currentTimeMillisUnsafe(),
    monotonic: () => performance.now(),
    newId: () => Crypto.randomBytes(16),
    markDirty: journal.markDirty,
    markUrgent: journal.markUrgent,
    enter: (capture, id) => {
      const conversation = live.ensure(capture.options.uid, id)
      conversation.captures++
      fork(
        takeOver(conversation, capture).pipe(
          Effect.andThen(Effect.suspend(() => (conversation.loaded ? Effect.void : loadNow(conversation)))),
          Effect.onExit(() => Effect.sync(() => capture.entered(conversation))),
          logDefect
        )
      )
    },
    leave: (capture, conversation) => {
      conversation.captures--
      if (conversation.feeder === capture) conversation.feeder = undefined
      live.settle(conversation)
    },
    sealed: (capture, chunk) => {
      if (uploads.offer(capture, chunk)) capture.deferred++
    },
    abandoned: (chunk) => {
      fork(live.release(chunk))
    },
    recall: (capture, conversation, at, audio) => {
      fork(
        recorded.recall(conversation, { sampleRate: capture.options.sampleRate, at, audio }).pipe(
          Effect.timeout(config.conversationLookup),
          Effect.onExit((exit) =>
            Effect.sync(() => {
              if (Exit.isFailure(exit))
                tell(capture, "audio can't be compared with what is recorded: it is kept", exit.cause)
              capture.recalled(at, Exit.isSuccess(exit) ? exit.value : undefined)
            })
          ),
          Effect.ignoreCause
        )
      )
    },
    died: ({ conversation, options: { uid } }, cause) => {
      const line = Effect.logError("a defect ends a capture", cause)
      fork(Effect.annotateLogs(line, { uid, conversation: conversation?.id }))
    },
    replayed: (seconds) => {
      fork(Metric.update(replayedSeconds, seconds))
    },
    shifted: (capture, seconds) => {
      fork(Metric.update(clockShifts, 1))
      tell(capture, `new audio has stamps in recorded time: it is placed ${seconds.toFixed(3)} s later`)
      capture.options.onShift?.(seconds)
    }
  }

  yield* Effect.sync(() => {
    for (const capture of captures.keys()) {
      capture.sealIfOld()
      capture.rate.measure(clock.currentTimeMillisUnsafe())
    }
  }).pipe(logDefect, Effect.repeat(Schedule.spaced("1 second")), Effect.forkScoped)

  const startedAt = clock.currentTimeMillisUnsafe()
  const uploadLag = (conversation: LiveConversation | undefined): number => {
    const sealed = [...(conversation?.chunks ?? [])].filter(({ state }) => state !== "open")
    const now = clock.currentTimeMillisUnsafe()
    const since = sealed.reduce((since, { sealedAt }) => Math.min(since, sealedAt === 0 ? startedAt : sealedAt), now)
    return (now - since) / 1000
  }
  const statsOf = (capture: CaptureWriter, id: number): CaptureStats => ({
    id,
    uid: capture.options.uid,
    conversation: capture.conversation?.id,
    sampleRate: capture.options.sampleRate,
    openedAt: new Date(capture.openedAt),
    bytes: capture.rate.received,
    bytesPerSecond: capture.rate.perSecond,
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
          const capture = new CaptureWriter({ ...options, onFailure }, host)
          captures.set(capture, { id: ++opened, toldAt: -Infinity })
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
    list: () => [...captures].map(([capture, { id }]) => statsOf(capture, id))
  })
})
