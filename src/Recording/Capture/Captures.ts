/** The open captures of this node, connected to the journal, the uploads and the database. */
import {
  type Cause,
  Clock,
  Context,
  Duration,
  Effect,
  Exit,
  Layer,
  Metric,
  Option,
  Queue,
  Random,
  Schedule
} from "effect"
import type { Scope } from "effect"
import type { Span } from "../../Audio.ts"
import type { DbError } from "../../Db.ts"
import type { Capture, CaptureFailure, CaptureOptions } from "./Capture.ts"
import { ChunkRows } from "../Catalog/ChunkRows.ts"
import { ConversationRows } from "../Catalog/ConversationRows.ts"
import { Journal } from "../Journal/Journal.ts"
import type { CaptureHost } from "./CaptureHost.ts"
import { CaptureWriter } from "./CaptureWriter.ts"
import type { JournalChunk } from "../Journal/JournalChunk.ts"
import type { LiveConversation } from "../Journal/LiveConversation.ts"
import { LiveConversations } from "../Journal/LiveConversations.ts"
import * as ChunkId from "../Journal/ChunkId.ts"
import { PurgeWatch } from "../Purge/PurgeWatch.ts"
import { RecordedAudio } from "./RecordedAudio.ts"
import { RecordingConfig } from "../RecordingConfig.ts"
import type { ReadError } from "../Read/ChunkAudio.ts"
import type { Lane } from "../Upload/UploadQueue.ts"
import { Uploads } from "../Upload/Uploads.ts"

export interface CaptureStats {
  /** Unique within this process. */
  readonly id: number
  readonly uid: string
  readonly conversation: string | undefined
  readonly sampleRate: number
  readonly codec: Span.Codec
  readonly clientKind: string
  readonly openedAt: Date
  readonly bytes: number
  readonly bytesPerSecond: number
  readonly waitingBytes: number
  /** Age of the oldest unacknowledged audio, in seconds. */
  readonly ackLag: number
  /** Seconds since the conversation's oldest chunk that is not stored was sealed. */
  readonly uploadLag: number
  readonly queued: number
  readonly deferred: number
  /** Segments of transcripts. */
  readonly droppedSegments: number
}

export interface ConversationName {
  readonly uid: string
  readonly conversation: string
}

export class Captures extends Context.Service<
  Captures,
  {
    /** The capture ends with the scope: its chunk is sealed and what was appended is made durable. */
    open(options: CaptureOptions): Effect.Effect<Capture, never, Scope.Scope>
    /** Seals what this node has received of the conversation by now, and commits it. */
    seal(name: ConversationName): Effect.Effect<void>
    /** Seals, and waits until all of that is stored or given up; false after `limit`. */
    flush(name: ConversationName, limit: Duration.Duration): Effect.Effect<boolean>
    readonly list: () => ReadonlyArray<CaptureStats>
  }
>()("spillway/Recording/Capture/Captures") {
  static readonly layer = Layer.effect(
    Captures,
    Effect.suspend(() => make)
  )
}

const openCaptures = Metric.gauge("spillway_captures", { description: "Open captures" })
const failedCaptures = Metric.counter("spillway_captures_failed_total", {
  description: "Captures that failed, by reason",
  incremental: true
})
const replayedSeconds = Metric.counter("spillway_replayed_seconds_total", {
  description: "Seconds of replayed audio that were dropped as duplicates"
})
const clockShifts = Metric.counter("spillway_clock_shifts_total", {
  description: "Clock shifts: new audio with timestamps in recorded time was placed later",
  incremental: true
})

interface OpenCapture {
  readonly id: number
  readonly lane: Lane
  /** Clock milliseconds. */
  loggedAt: number
}

/** Minimum time between two log lines about one capture's audio. */
const logIntervalMillis = 60_000

/** Interval at which a flush checks whether chunks are stored. */
const flushEvery = Duration.millis(50)

/** Smallest fraction of a full chunk for a capture's first one; a smaller object is not worth its overhead. */
const leastShare = 0.1

/** Interval at which recorded audio is read again while database or store are away. */
const recallEvery = Duration.millis(200)

const isTransient = ({ _tag }: ReadError | DbError) =>
  _tag === "StorageUnavailable" || _tag === "Saturated" || _tag === "DbUnavailable" || _tag === "DbTimeout"

const until = (holds: () => boolean) =>
  Effect.sync(holds).pipe(Effect.repeat({ until: (held) => held, schedule: Schedule.spaced(flushEvery) }))

/** Not uploaded yet, because it was recovered or its queue was full. One that has failed waits for its sweep. */
const isUntried = ({ dueRound, state }: JournalChunk) => state === "waiting" && dueRound === 0

const make = Effect.gen(function* () {
  const config = yield* RecordingConfig
  const journal = yield* Journal
  const live = yield* LiveConversations
  const uploads = yield* Uploads
  const recorded = yield* RecordedAudio
  const purges = yield* PurgeWatch
  const chunkRows = yield* ChunkRows
  const conversationRows = yield* ConversationRows
  const clock = yield* Clock.Clock
  const random = yield* Random.Random
  const scope = yield* Effect.scope
  const run = Effect.runForkWith(yield* Effect.context<never>())
  const fork = <A>(effect: Effect.Effect<A>) => run(Effect.forkIn(effect, scope))
  const captures = new Map<CaptureWriter, OpenCapture>()
  let opened = 0

  /** Logs at most one line a minute for each capture. */
  const warn = (capture: CaptureWriter, message: string, ...details: ReadonlyArray<unknown>) => {
    const known = captures.get(capture)
    const now = clock.currentTimeMillisUnsafe()
    if (known === undefined || now - known.loggedAt < logIntervalMillis) return
    known.loggedAt = now
    const { uid } = capture.options
    fork(Effect.annotateLogs(Effect.logWarning(message, ...details), { uid, conversation: capture.conversation?.id }))
  }

  /** Reads the end of the conversation's stored audio. One query, unless the conversation is new or from an earlier day. */
  const tailOf = Effect.fnUntraced(function* ({ id, uid }: LiveConversation) {
    const tail = chunkRows.tail(uid, id)
    const known = yield* tail
    return known.isCurrent || known.purgeEnd > known.knownAt
      ? known
      : yield* Effect.andThen(conversationRows.ensure(uid, id), tail)
  })

  const load = (conversation: LiveConversation) =>
    tailOf(conversation).pipe(
      Effect.tap(({ knownAt, purgeEnd }) => purges.learn(conversation, purgeEnd, knownAt)),
      Effect.map(({ chunks, clockShift, end, knownAt }) => {
        // A check of purges overtook the query, and may have forgotten what it read.
        if (knownAt < conversation.learnedAt) return undefined
        if (conversation.isPurged) return false
        const isOverlapping = conversation.isUncheckedBefore(end ?? -Infinity)
        conversation.load(chunks ?? 0, end ?? -Infinity, clockShift ?? 0)
        return isOverlapping
      }),
      Effect.repeat({ until: (isOverlapping) => isOverlapping !== undefined }),
      Effect.timeout(config.conversationLookup)
    )

  /** Retries until the database answers or the last capture leaves the conversation. */
  const loadLater = (conversation: LiveConversation) =>
    load(conversation).pipe(
      Effect.map((isOverlapping) => conversation.writer?.loaded(isOverlapping === true)),
      Effect.ignoreCause,
      Effect.delay(config.conversationLookup),
      Effect.repeat({ while: () => !conversation.loaded && conversation.captures > 0 })
    )

  /** Recording continues without the database: audio is placed by its timestamps and compared with the journal only. */
  const loadNow = (conversation: LiveConversation) =>
    Effect.catchCause(load(conversation), (cause) =>
      Effect.logWarning("the database can't be read: recording without the conversation's stored state", cause).pipe(
        Effect.annotateLogs({ uid: conversation.uid, conversation: conversation.id })
      )
    )

  /** Waits until all audio of the previous writer is durable: replays are compared with durable audio. */
  const takeOver = (conversation: LiveConversation, capture: CaptureWriter) => {
    const last = conversation.writer
    conversation.writer = capture
    return last === undefined
      ? Effect.void
      : Effect.callback<void>((resume) => last.supersede(() => resume(Effect.void))).pipe(
          Effect.timeoutOption(config.drainTimeout)
        )
  }

  const logDefect = Effect.catchCause((cause: Cause.Cause<never>) =>
    Effect.logError("a capture failed unexpectedly", cause)
  )

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
    newId: ({ knownAt }) => ChunkId.make(Math.max(knownAt, purges.quietAt())),
    markDirty: journal.markDirty,
    markUrgent: journal.markUrgent,
    enter: (capture, id) => {
      const conversation = live.ensure(capture.options.uid, id)
      // Another node may have recorded it since the last capture left. If that can't be read, what this node knows is used.
      const isFirst = conversation.captures === 0
      conversation.enter(capture)
      fork(
        takeOver(conversation, capture).pipe(
          Effect.andThen(Effect.suspend(() => (conversation.loaded && !isFirst ? Effect.void : loadNow(conversation)))),
          Effect.onExit(() =>
            Effect.sync(() => {
              if (conversation.isPurged) capture.purged()
              capture.entered(conversation)
              // The database can't be read, or a purge has just made this node forget what it read.
              if (!conversation.loaded) fork(loadLater(conversation))
            })
          ),
          logDefect
        )
      )
    },
    leave: (capture, conversation) => {
      conversation.writers.delete(capture)
      if (conversation.writer === capture) conversation.writer = undefined
      live.removeIfUnused(conversation)
    },
    sealed: (capture, chunk) => {
      if (live.get(chunk.uid, chunk.conversation)?.hasPurged(chunk) === true) return void fork(live.release(chunk))
      // A capture that did not close in time is not in the map any more.
      const lane = captures.get(capture)?.lane ?? uploads.lane(capture.options.uid)
      if (uploads.offer(lane, chunk)) capture.deferred++
    },
    abandoned: (chunk) => {
      fork(live.release(chunk))
    },
    recall: (capture, conversation, wanted) => {
      fork(
        recorded.recall(conversation, wanted).pipe(
          Effect.retry({ while: isTransient, schedule: Schedule.spaced(recallEvery) }),
          Effect.timeout(config.conversationLookup),
          Effect.onExit((exit) =>
            Effect.sync(() => {
              if (Exit.isFailure(exit))
                warn(
                  capture,
                  "can't read the recorded audio to detect a replay: the received audio is kept",
                  exit.cause
                )
              capture.recalled(wanted.at, Exit.isSuccess(exit) ? exit.value : undefined)
            })
          ),
          Effect.ignoreCause
        )
      )
    },
    died: ({ conversation, options: { uid } }, cause) => {
      const line = Effect.logError("a capture ended after a defect", cause)
      fork(Effect.annotateLogs(line, { uid, conversation: conversation?.id }))
    },
    replayed: (seconds) => {
      fork(Metric.update(replayedSeconds, seconds))
    },
    shifted: (capture, seconds) => {
      fork(Metric.update(clockShifts, 1))
      warn(capture, `new audio has timestamps in recorded time: it is placed ${seconds.toFixed(3)} s later`)
      capture.options.onShift?.(seconds)
    }
  }

  yield* Effect.sync(() => {
    for (const capture of captures.keys()) {
      capture.sealIfOld()
      capture.reportStored()
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
  const statsOf = (capture: CaptureWriter, { id, lane }: OpenCapture): CaptureStats => ({
    id,
    uid: capture.options.uid,
    conversation: capture.conversation?.id,
    sampleRate: capture.options.sampleRate,
    codec: capture.options.codec,
    clientKind: capture.options.clientKind ?? "",
    openedAt: new Date(capture.openedAt),
    bytes: capture.rate.received,
    bytesPerSecond: capture.rate.perSecond,
    waitingBytes: capture.waitingBytes,
    ackLag: capture.ackLag,
    uploadLag: uploadLag(capture.conversation),
    queued: Queue.sizeUnsafe(lane.chunks),
    deferred: capture.deferred,
    droppedSegments: capture.options.droppedSegments?.() ?? 0
  })

  const writersOf = ({ conversation, uid }: ConversationName) => [...(live.get(uid, conversation)?.writers ?? [])]
  const seal = (name: ConversationName) =>
    Effect.sync(() => {
      for (const writer of writersOf(name)) writer.seal()
    })
  const stored = Effect.fnUntraced(function* (name: ConversationName) {
    yield* seal(name)
    yield* until(() => writersOf(name).every(({ isSealing }) => !isSealing))
    const chunks = [...(live.get(name.uid, name.conversation)?.chunks ?? [])]
    const lane = uploads.lane(name.uid)
    for (const chunk of chunks.filter(isUntried)) uploads.offer(lane, chunk)
    yield* until(() => chunks.every(({ state }) => state === "retained" || state === "released"))
  })

  return Captures.of({
    seal,
    flush: Effect.fn("Captures.flush")((name, limit) =>
      Effect.map(Effect.timeoutOption(stored(name), limit), Option.isSome)
    ),
    open: (options) =>
      Effect.acquireRelease(
        Effect.gen(function* () {
          const onFailure = (failure: CaptureFailure) => {
            fork(Metric.update(Metric.withAttributes(failedCaptures, { reason: failure._tag }), 1))
            options.onFailure(failure)
          }
          const capture = new CaptureWriter({ ...options, onFailure }, host)
          captures.set(capture, { id: ++opened, lane: uploads.lane(options.uid), loggedAt: -Infinity })
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
    list: () => [...captures].map(([capture, open]) => statsOf(capture, open))
  })
})
