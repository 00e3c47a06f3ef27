/**
 * From sealed chunk to stored object: put, then row, then the journal lets go. A kill after any step repeats the steps
 * before it, which change nothing the second time.
 */
import { crc32c } from "@node-rs/crc32"
import { Cause, Context, Deferred, Effect, Exit, FiberSet, Layer, Metric, Option, Schedule, Stream } from "effect"
import { type Saturated, StorageWrite } from "../../Bulkhead.ts"
import { Peaks } from "../../Audio.ts"
import type { DbError } from "../../Db.ts"
import { type ObjectHead, rereadDamaged, Storage, type StorageError } from "../../Storage.ts"
import { Protection, SealedRecords } from "../../Encryption.ts"
import { sealedKey } from "../Chunk.ts"
import { ChunkRows } from "../Catalog/ChunkRows.ts"
import { Journal } from "../Journal/Journal.ts"
import { type JournalChunk, uuidText } from "../Journal/JournalChunk.ts"
import { LiveConversations } from "../Journal/LiveConversations.ts"
import { RecordingConfig } from "../RecordingConfig.ts"
import type { JournalError } from "../Journal/Segment.ts"
import * as Sweep from "./Sweep.ts"
import { UploadPace } from "./UploadPace.ts"
import { UploadQueue } from "./UploadQueue.ts"

export class Uploads extends Context.Service<
  Uploads,
  {
    /** Hands a sealed chunk over; answers whether the capture's oldest slid out because it has too many. */
    readonly offer: (capture: object, chunk: JournalChunk) => boolean
    /** Chunks of the capture that wait for upload. */
    readonly queuedOf: (uid: string, capture: object) => number
    /** Chunks that wait in queues, and uploads that go on. */
    readonly stats: () => { readonly queued: number; readonly active: number }
    /** Offers what waits in the journal, users in turn; answers how many. What is more is offered when those are done. */
    readonly sweep: Effect.Effect<number>
    /** Waits until nothing that was offered is queued or going on. */
    readonly idle: Effect.Effect<void>
  }
>()("spillway/Recording/Upload/Uploads") {
  static readonly layer = Layer.effect(
    Uploads,
    Effect.suspend(() => make)
  )
}

const deferredChunks = Metric.counter("spillway_upload_deferred_total", {
  description: "Chunks that slid out of their capture's queue and wait in the journal for the sweeper",
  incremental: true
})
const queuedChunks = Metric.gauge("spillway_upload_queued", { description: "Chunks that wait for upload" })
const uploadLimit = Metric.gauge("spillway_upload_limit", {
  description: "Uploads that may run now: fewer while commits of the journal are late"
})
const storedChunks = Metric.counter("spillway_upload_chunks_total", { description: "Chunks stored", incremental: true })
const failedUploads = Metric.counter("spillway_upload_failed_total", {
  description: "Uploads put off until the next sweep",
  incremental: true
})
const lostSeconds = Metric.counter("spillway_lost_seconds_total", {
  description: "Seconds of audio given up because the journal's budget was spent"
})
const uploadDuration = Metric.timer("spillway_upload_duration", {
  description: "From the journal to the committed row"
})

/** Names that one upload tries. The next one goes on from there. */
const namesAtOnce = 20

/** Faults of the store or the database, not of the chunk. */
const common = new Set(["StorageUnavailable", "Saturated", "DbUnavailable", "DbTimeout", "TimeoutError"])
type UploadError = StorageError | Saturated | DbError | JournalError | Cause.TimeoutError
const isItsOwn = (cause: Cause.Cause<UploadError>) =>
  Option.match(Cause.findErrorOption(cause), { onNone: () => true, onSome: ({ _tag }) => !common.has(_tag) })

/** A minute of PCM16 at 16 kHz. */
const usualBytes = 60 * 16_000 * 2

/** Buffers that wait for the next upload. More run at once only after a stop of the store. */
const keptBuffers = 4

/** How long the row of a chunk waits for those of earlier ones, whose uploads may hang. */
const orderPatience = "1 second"

/** An upload that goes on. */
interface Active {
  readonly chunk: JournalChunk
  readonly done: Deferred.Deferred<void>
}

/** Taken in on the way to the journal; of what another process wrote, from the bytes that are uploaded. */
const peaksFor = (chunk: JournalChunk, body: Uint8Array): Uint8Array | undefined => {
  if (chunk.codec !== "pcm16") return undefined
  return chunk.peaks.samples === body.length / 2 ? chunk.peaks.encode() : Peaks.peaksOf(body, chunk.sampleRate)
}

const make = Effect.gen(function* () {
  const config = yield* RecordingConfig
  const storage = yield* Storage
  const protection = yield* Protection
  const storageWrite = yield* StorageWrite
  const rows = yield* ChunkRows
  const journal = yield* Journal
  const live = yield* LiveConversations
  const queue = new UploadQueue()
  const workers = yield* FiberSet.make<void>()
  const fork = yield* FiberSet.runtime(workers)<never>()
  let running = 0
  /** Of the sweep; in the last of which a fault of the store was told; and whether more is due than was offered. */
  let round = 0
  let toldRound = -1
  let more = false
  /** Reused; not after a failure, when a write may still be reading it. */
  const buffers: Array<ArrayBuffer> = []

  /** The object, if it holds this audio: the same audio is other bytes each time it is sealed. */
  const held = (chunk: JournalChunk, key: string, audio: Uint8Array) =>
    Stream.mkUint8Array(
      Stream.limitBytes(storage.get(key), SealedRecords.sealedSize(audio.length), () => Stream.empty)
    ).pipe(
      rereadDamaged,
      storageWrite.run(chunk.uid),
      Effect.flatMap((sealed) =>
        Effect.map(protection.open(chunk.uid, sealed), (stored) =>
          Buffer.compare(stored, audio) === 0 ? { size: sealed.length, crc32c: crc32c(sealed) } : undefined
        )
      ),
      Effect.catchTag(["NotSealed", "ObjectDamaged", "ObjectNotFound", "StorageRefused"], () =>
        Effect.succeed(undefined)
      )
    )

  const active = new Set<Active>()
  /**
   * Rows are written in the order of the audio: an append costs least, and leaves the ETags of responses that are being sent
   * as they are. A conversation's rows are written one after the other in any case.
   */
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

  /** `body` is what the store gets for the audio. When to try again after a fault is the store's and the database's own policy. */
  const put = (
    chunk: JournalChunk,
    audio: Uint8Array,
    body: Uint8Array,
    lastName = chunk.nameAttempts + namesAtOnce
  ): Effect.Effect<void, StorageError | Saturated | DbError> => {
    const key = body === audio ? chunk.key : sealedKey(chunk.key)
    const insert = ({ crc32c, size }: Pick<ObjectHead, "size" | "crc32c">) =>
      Effect.andThen(
        untilInOrder(chunk),
        rows.insertStored(chunk, { key, bytes: size, crc32c, peaks: peaksFor(chunk, audio) })
      )
    return storage
      .put({
        key,
        body,
        contentType: "application/octet-stream",
        metadata: {
          v2_start: String(chunk.start),
          v2_samples: String(audio.length / 2),
          v2_sample_rate: String(chunk.sampleRate),
          codec: chunk.codec
        }
      })
      .pipe(
        storageWrite.run(chunk.uid),
        Effect.flatMap(insert),
        Effect.catchTag("ObjectConflict", (conflict) =>
          Effect.flatMap(body === audio ? Effect.succeed(undefined) : held(chunk, key, audio), (found) => {
            if (found !== undefined) return insert(found)
            chunk.nameAttempts++
            return chunk.nameAttempts < lastName ? put(chunk, audio, body, lastName) : conflict
          })
        )
      )
  }

  /** A fault of the store ends the round, and is told once in it. */
  const putOff = Effect.fnUntraced(function* (chunk: JournalChunk, cause: Cause.Cause<UploadError>) {
    const own = isItsOwn(cause)
    Sweep.postpone(chunk, round, own)
    const isTold = !own && toldRound === round
    if (!own) {
      more = false
      toldRound = round
    }
    const log = isTold ? Effect.logDebug : Effect.logWarning
    const what = own
      ? "a chunk is refused, and tried again ever less often"
      : "an upload is put off until a later sweep"
    yield* Effect.annotateLogs(log(what, cause), { key: chunk.key })
    yield* Metric.update(failedUploads, 1)
  })

  const upload = Effect.fnUntraced(function* (chunk: JournalChunk) {
    if (chunk.state !== "queued") return
    chunk.state = "uploading"
    const own: Active = { chunk, done: Deferred.makeUnsafe() }
    active.add(own)
    const buffer = buffers.pop() ?? new ArrayBuffer(Math.max(chunk.durable, usualBytes))
    yield* journal.read(chunk, 0, chunk.durable, buffer).pipe(
      Effect.flatMap((audio) => {
        const body = protection.level === "enhanced" ? protection.seal(chunk.uid, audio) : Effect.succeed(audio)
        return Effect.tap(
          Effect.flatMap(body, (body) => put(chunk, audio, body)),
          () =>
            Effect.sync(() => {
              if (buffers.length < keptBuffers) buffers.push(audio.buffer)
            })
        )
      }),
      Effect.timeout(config.uploadDeadline),
      Effect.andThen(live.release(chunk)),
      Effect.andThen(Metric.update(storedChunks, 1)),
      Effect.trackDuration(uploadDuration),
      Effect.catchCause((cause) => putOff(chunk, cause)),
      Effect.ensuring(
        Effect.sync(() => {
          if (chunk.state === "uploading") chunk.state = "waiting"
          active.delete(own)
          Deferred.doneUnsafe(own.done, Effect.void)
        })
      )
    )
  })

  const pace = new UploadPace(config.uploads)
  const limit = () => {
    const { budget, bytes } = journal.stats()
    return pace.limit(journal.lateBy(), bytes * 2 > budget)
  }

  const work: Effect.Effect<void> = Effect.suspend(() => {
    if (running > limit()) return Effect.succeed(false)
    if (queue.size === 0 && more) offerWaiting()
    const chunk = queue.take()
    return chunk === undefined ? Effect.succeed(false) : Effect.as(upload(chunk), true)
  }).pipe(
    Effect.repeat({ while: (more) => more }),
    Effect.tap(Effect.suspend(() => Metric.update(queuedChunks, queue.size))),
    // What was offered as this worker ended, however it ended, needs another one.
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
    pace.committed(lateBy)
    fork(Metric.update(uploadLimit, limit()))
    if (queue.size > 0) startWorker()
  })

  /** A chunk that is in other hands already is left there. */
  const add = (lane: object, chunk: JournalChunk, capacity: number): boolean => {
    if (chunk.state !== "waiting") return false
    const evicted = queue.offer(lane, chunk, capacity)
    if (evicted !== undefined) fork(Metric.update(deferredChunks, 1))
    startWorker()
    return evicted !== undefined
  }

  const sweepLane = {}
  const offerWaiting = () => {
    const next = Sweep.pick(live.chunks(), round, config.sweepChunks - queue.sizeOfAll(sweepLane))
    more = next.more
    for (const chunk of next.picked) add(sweepLane, chunk, config.sweepChunks)
    return next.picked.length
  }
  const sweep = Effect.sync(() => {
    round++
    return offerWaiting()
  })

  /** The last note of what is lost was not written: logged once, although it is tried again and again. */
  let isNoteRefused = false
  /** Nobody else may take it while the note is written. */
  const giveUp = Effect.fnUntraced(function* (chunks: ReadonlyArray<JournalChunk>) {
    for (const chunk of chunks) {
      if (chunk.state === "released") continue
      if (chunk.state === "uploading") return false
      const seconds = chunk.durable / 2 / chunk.sampleRate
      const lost = { uid: chunk.uid, conversation: chunk.conversation, start: chunk.start, seconds }
      chunk.state = "uploading"
      const note = yield* rows.insertLost(chunk).pipe(
        Effect.onError(() => Effect.sync(() => (chunk.state = "waiting"))),
        Effect.exit
      )
      if (Exit.isFailure(note)) {
        const log = isNoteRefused ? Effect.logDebug : Effect.logError
        isNoteRefused = true
        yield* log(
          "the journal is full and the database does not take the note of what would be lost",
          note.cause
        ).pipe(Effect.annotateLogs(lost))
        return false
      }
      isNoteRefused = false
      yield* live.release(chunk)
      yield* Metric.update(lostSeconds, seconds)
      yield* Effect.logError("audio was given up: the journal's budget is spent").pipe(
        Effect.annotateLogs({ ...lost, chunk: uuidText(chunk.id) })
      )
    }
    return true
  })
  journal.whenFull(giveUp)

  /**
   * Chunks that are stored, or of which the rest is: a segment of a released chunk is deleted when nothing else in it is
   * needed, so that of several segments some may be left.
   */
  const recovered = [...live.chunks()]
  const stored = yield* rows.existing([
    ...recovered,
    ...recovered.map(({ conversation, origin, uid }) => ({ uid, conversation, ...origin }))
  ])
  const isStored = ({ durable, id, origin }: JournalChunk) =>
    stored.has(uuidText(id)) || origin.offset + durable <= (stored.get(uuidText(origin.id)) ?? 0) * 2
  for (const chunk of recovered.filter(isStored)) yield* live.release(chunk)
  const waiting = [...live.chunks()].length
  if (waiting > 0) yield* Effect.logInfo(`recovered ${waiting} chunks from the journal that are not stored yet`)

  const idle = FiberSet.awaitEmpty(workers)
  yield* Effect.addFinalizer(() => Effect.ignore(Effect.timeout(idle, config.drainTimeout)))
  yield* sweep.pipe(
    Effect.catchCause((cause) => Effect.logError("a sweep died", cause)),
    Effect.repeat(Schedule.spaced(config.sweepInterval)),
    Effect.forkScoped
  )

  return Uploads.of({
    offer: (capture, chunk) => add(capture, chunk, config.queuedChunks),
    queuedOf: (uid, capture) => queue.sizeOf(uid, capture),
    stats: () => ({ queued: queue.size, active: running }),
    sweep,
    idle
  })
})
