/** Uploads sealed chunks: puts the object, inserts the row, releases the chunk. Steps are idempotent, and repeated after a kill. */
import { Cause, Context, Deferred, Effect, FiberSet, Layer, Metric, Option, Queue, Schedule } from "effect"
import { type Saturated, StorageBulkheads } from "../../Bulkhead.ts"
import type { DbError } from "../../Db.ts"
import * as DurationHistogram from "../../DurationHistogram.ts"
import type { StorageError } from "../../Storage.ts"
import { ChunkRows, type ExistingChunk } from "../Catalog/ChunkRows.ts"
import { Journal } from "../Journal/Journal.ts"
import type { JournalChunk } from "../Journal/JournalChunk.ts"
import { LiveConversations } from "../Journal/LiveConversations.ts"
import { RecordingConfig } from "../RecordingConfig.ts"
import type { JournalError } from "../Journal/Segment.ts"
import { PurgeWatch, type SentAgain } from "../Purge/PurgeWatch.ts"
import * as ChunkObject from "./ChunkObject.ts"
import * as LostAudio from "./LostAudio.ts"
import { type Lane, makeLane, postponeChunk, selectDue, UploadLimit, UploadQueue } from "./UploadQueue.ts"

export class Uploads extends Context.Service<
  Uploads,
  {
    /** An upload queue for a capture. When it is full, its oldest chunk is deferred to the sweep. */
    readonly lane: (uid: string) => Lane
    /** Queues a sealed chunk; returns whether the oldest chunk of the lane was deferred. */
    readonly offer: (lane: Lane, chunk: JournalChunk) => boolean
    readonly stats: () => { readonly queued: number; readonly active: number }
    /** Queues waiting chunks of the journal, round-robin over users; returns how many. The rest follows when those are done. */
    readonly sweep: Effect.Effect<number>
    readonly idle: Effect.Effect<void>
    /** The node begins to stop, with this many open captures. */
    readonly stopping: (captures: number) => void
  }
>()("spillway/Recording/Upload/Uploads") {
  static readonly layer = Layer.effect(
    Uploads,
    Effect.suspend(() => make)
  )
}

const deferredChunks = Metric.counter("spillway_upload_deferred_total", {
  description: "Chunks deferred: removed from their capture's full upload queue; a sweep offers them again",
  incremental: true
})
const queuedChunks = Metric.gauge("spillway_upload_queued", { description: "Chunks in the upload queue" })
const uploadLimit = Metric.gauge("spillway_upload_limit", {
  description:
    "Limit of concurrent uploads; reduced while journal commits are late, and while the store or the database fails"
})
const storedChunks = Metric.counter("spillway_upload_chunks_total", { description: "Chunks stored", incremental: true })
const storedSeconds = Metric.counter("spillway_upload_audio_seconds_total", {
  description: "Seconds of audio stored"
})
const failedUploads = Metric.counter("spillway_upload_failed_total", {
  description: "Failed uploads; a later sweep retries them",
  incremental: true
})
const uploadSeconds = DurationHistogram.make(
  "spillway_upload_seconds",
  "Duration of uploads, from the journal read to the committed row"
)

/** Errors of the store or the database, not of the chunk. A `JournalError` is one if it is transient. */
const outages = new Set(["StorageUnavailable", "Saturated", "DbUnavailable", "DbTimeout", "TimeoutError"])
type UploadError = StorageError | Saturated | DbError | JournalError | SentAgain | Cause.TimeoutError
const isItsOwn = (cause: Cause.Cause<UploadError>) =>
  Option.match(Cause.findErrorOption(cause), {
    onNone: () => true,
    onSome: (error) => !(error._tag === "JournalError" ? error.isTransient === true : outages.has(error._tag))
  })

/** Longest wait of a chunk's row for the rows of earlier chunks, whose uploads may hang. */
const orderPatience = "1 second"

/**
 * Whether a recovered chunk must be stored. `stored`: it is stored, as a whole or as a part of its origin. `lost`: it is the rest
 * of a chunk whose row records all samples as lost, because the segments of a released chunk are deleted one by one.
 * `unstored`: it must be stored, also if it is recorded as lost but complete.
 */
const recoveredState = ({ durableSamples, id, origin }: JournalChunk, rows: ReadonlyMap<string, ExistingChunk>) => {
  if (rows.get(id)?.isLost === false) return "stored"
  const whole = rows.get(origin.id)
  if (whole === undefined || origin.sample + durableSamples > whole.samples) return "unstored"
  if (!whole.isLost) return "stored"
  return durableSamples === whole.samples ? "unstored" : "lost"
}

interface Active {
  readonly chunk: JournalChunk
  readonly done: Deferred.Deferred<void>
}

const make = Effect.gen(function* () {
  const config = yield* RecordingConfig
  const { write: storageWrite } = yield* StorageBulkheads
  const chunkObject = yield* ChunkObject.make
  const rows = yield* ChunkRows
  const journal = yield* Journal
  const live = yield* LiveConversations
  const purges = yield* PurgeWatch
  const queue = new UploadQueue()
  const workers = yield* FiberSet.make<void>()
  const fork = yield* FiberSet.runtime(workers)<never>()
  let running = 0
  /** The sweep's round, the last round with a logged outage, and whether more chunks are due. */
  let round = 0
  let loggedRound = -1
  let more = false
  let uploaded = 0
  let stop: { readonly at: number; readonly captures: number; readonly uploaded: number } | undefined

  const active = new Set<Active>()
  /** Rows in the order of the audio are cheap appends, and keep ETags. The conversation's lock serializes them anyway. */
  const untilInOrder = ({ conversation, start, uid }: JournalChunk) =>
    Effect.suspend(() =>
      Effect.forEach(
        [...active].filter(
          ({ chunk }) => chunk.uid === uid && chunk.conversation === conversation && chunk.start < start
        ),
        ({ done }) => Deferred.await(done),
        { discard: true }
      )
    ).pipe(Effect.timeoutOption(orderPatience))

  /** An outage ends the round, and is logged once per round. */
  const postpone = Effect.fnUntraced(function* (chunk: JournalChunk, cause: Cause.Cause<UploadError>) {
    const own = isItsOwn(cause)
    postponeChunk(chunk, round, own)
    const isLogged = !own && loggedRound === round
    if (!own) {
      uploadsLimit.failed()
      more = false
      loggedRound = round
    }
    const log = isLogged ? Effect.logDebug : Effect.logWarning
    const what = own
      ? "an upload was rejected and is retried with backoff"
      : "an upload failed and is retried by a later sweep"
    yield* Effect.annotateLogs(log(what, cause), { key: chunk.key })
    yield* Metric.update(failedUploads, 1)
  })

  const store = (chunk: JournalChunk) =>
    chunkObject.store(chunk).pipe(
      Effect.tap(() => untilInOrder(chunk)),
      Effect.flatMap((stored) =>
        rows.insertStored(chunk, stored).pipe(
          Effect.andThen(Effect.sync(() => uploaded++)),
          Effect.andThen(Metric.update(storedChunks, 1)),
          Effect.andThen(Metric.update(storedSeconds, chunk.durableSamples / chunk.sampleRate)),
          Effect.catchTag("Purged", () => storageWrite.run(chunk.uid)(purges.removeObject(chunk, stored)))
        )
      )
    )

  /** The purge may have ended between an earlier put of the object and its row, and nothing else finds the object. */
  const unstore = Effect.fnUntraced(function* (chunk: JournalChunk) {
    for (const found of yield* chunkObject.find(chunk))
      yield* storageWrite.run(chunk.uid)(purges.removeObject(chunk, found))
  })

  const upload = Effect.fnUntraced(function* (chunk: JournalChunk) {
    if (chunk.state !== "queued") return
    const isPurged = live.isPurged(chunk)
    if (isPurged && !chunk.mayBeStored) return yield* live.release(chunk)
    if (live.get(chunk.uid, chunk.conversation)?.awaitsLoad(chunk) === true) {
      chunk.state = "waiting"
      return postponeChunk(chunk, round, false)
    }
    chunk.state = "uploading"
    const own: Active = { chunk, done: Deferred.makeUnsafe() }
    active.add(own)
    yield* (isPurged ? unstore(chunk) : store(chunk)).pipe(
      Effect.timeout(config.uploadDeadline),
      Effect.tap(() => Effect.sync(() => uploadsLimit.succeeded())),
      Effect.andThen(live.retain(chunk)),
      DurationHistogram.track(uploadSeconds),
      Effect.catchCause((cause) => postpone(chunk, cause)),
      Effect.ensuring(
        Effect.sync(() => {
          if (chunk.state === "uploading") chunk.state = "waiting"
          active.delete(own)
          Deferred.doneUnsafe(own.done, Effect.void)
        })
      )
    )
  })

  const uploadsLimit = new UploadLimit(config.uploads)
  const limit = () => {
    const { budget, bytes } = journal.stats()
    return uploadsLimit.limit(journal.lateBy(), bytes * 2 > budget)
  }

  const work: Effect.Effect<void> = Effect.suspend(() => {
    if (running > limit()) return Effect.succeed(false)
    if (queue.size === 0 && more) offerWaiting()
    const chunk = queue.take()
    return chunk === undefined ? Effect.succeed(false) : Effect.as(upload(chunk), true)
  }).pipe(
    Effect.repeat({ while: (more) => more }),
    Effect.tap(Effect.suspend(() => Metric.update(queuedChunks, queue.size))),
    // Chunks queued while this worker ended need another one.
    Effect.ensuring(
      Effect.sync(() => {
        running--
        if (queue.size > 0) startWorker()
      })
    ),
    Effect.asVoid
  )
  const startWorker = () => {
    if (running >= limit()) return
    running++
    fork(work)
  }
  journal.whenCommitted((lateBy) => {
    uploadsLimit.committed(lateBy)
    fork(Metric.update(uploadLimit, limit()))
    if (queue.size > 0) startWorker()
  })

  /** Ignores chunks that are already queued, being uploaded or released. */
  const add = (lane: Lane, chunk: JournalChunk): boolean => {
    if (chunk.state !== "waiting") return false
    const isDeferring = queue.offer(lane, chunk)
    if (isDeferring) fork(Metric.update(deferredChunks, 1))
    startWorker()
    return isDeferring
  }

  /** Lanes of the sweep, by user. The next sweep removes empty ones, so there are at most `sweepChunks`. */
  const swept = new Map<string, Lane>()
  const offerWaiting = () => {
    let queued = 0
    for (const [uid, { chunks }] of swept) {
      queued += Queue.sizeUnsafe(chunks)
      if (Queue.sizeUnsafe(chunks) === 0) swept.delete(uid)
    }
    const next = selectDue(live.chunks(), round, config.sweepChunks - queued)
    more = next.more
    for (const chunk of next.picked) {
      const lane = swept.get(chunk.uid) ?? makeLane(chunk.uid, config.sweepChunks)
      swept.set(chunk.uid, lane)
      add(lane, chunk)
    }
    return next.picked.length
  }
  const sweep = Effect.sync(() => {
    round++
    return offerWaiting()
  })

  journal.whenFull(yield* LostAudio.make)

  const recovered = [...live.chunks()]
  const existing = yield* rows.existing([
    ...recovered,
    ...recovered.map(({ conversation, origin, uid }) => ({ uid, conversation, ...origin }))
  ])
  for (const chunk of recovered) {
    const state = recoveredState(chunk, existing)
    if (state === "stored") yield* live.retain(chunk)
    else if (state === "lost") yield* live.release(chunk)
  }
  const waiting = [...live.chunks()].length
  if (waiting > 0) yield* Effect.logInfo(`recovered ${waiting} chunks from the journal that are not stored yet`)

  const idle = FiberSet.awaitEmpty(workers)
  const logStop = Effect.suspend(() => {
    if (stop === undefined) return Effect.void
    const left = [...live.chunks()]
    const bytes = left.reduce((sum, { durable }) => sum + durable, 0)
    const rest =
      left.length === 0
        ? "no audio stays in the journal"
        : `${left.length} chunks (${bytes} bytes) stay in the journal and are uploaded after the next start`
    const seconds = ((performance.now() - stop.at) / 1000).toFixed(1)
    return (left.length === 0 ? Effect.logInfo : Effect.logWarning)(
      `recording stopped after ${seconds} s: ${stop.captures} captures ended, ${uploaded - stop.uploaded} chunks uploaded, ${rest}`
    )
  })
  yield* Effect.addFinalizer(() =>
    // What has failed is tried once more: the store may be back.
    Effect.andThen(sweep, idle).pipe(
      Effect.timeout(config.drainTimeout),
      Effect.ignoreCause,
      // After a clean stop the journal holds only what is not stored: clients have their acknowledgements, and replay nothing.
      Effect.andThen(live.releaseRetained("all")),
      Effect.andThen(logStop)
    )
  )
  yield* sweep.pipe(
    Effect.andThen(live.releaseRetained("old")),
    Effect.catchCause((cause) => Effect.logError("an upload sweep died", cause)),
    Effect.repeat(Schedule.spaced(config.sweepInterval)),
    Effect.forkScoped
  )

  return Uploads.of({
    lane: (uid) => makeLane(uid, config.queuedChunks),
    offer: add,
    stats: () => ({ queued: queue.size, active: running }),
    sweep,
    idle,
    stopping: (captures) => {
      stop = { at: performance.now(), captures, uploaded }
    }
  })
})
