/** The node's write-ahead log: one group commit for all captures, one fsync, then acknowledgements. A kill leaves a prefix. */
import {
  Cause,
  Context,
  Duration,
  Effect,
  Exit,
  FileSystem,
  Layer,
  Metric,
  Option,
  Path,
  Schedule,
  Semaphore
} from "effect"
import * as DurationHistogram from "../../DurationHistogram.ts"
import { NodeConfig } from "../../NodeConfig.ts"
import * as Startup from "../../Startup.ts"
import { Batch } from "./Batch.ts"
import { emptyRecord, maxHeadBytes } from "./JournalRecord.ts"
import type { RecordExtent } from "./Extents.ts"
import type { JournalChunk } from "./JournalChunk.ts"
import { RecordingConfig } from "../RecordingConfig.ts"
import * as Recovery from "./Recovery.ts"
import * as Eviction from "./Eviction.ts"
import { create, JournalError, openAll, type Segment, trimQuarantine } from "./Segment.ts"
import * as SegmentReader from "./SegmentReader.ts"

/** A participant of group commits. Both methods are synchronous. */
export interface CommitSource {
  /** Moves audio that fits into the batch; returns whether none is left. */
  readonly drainInto: (batch: Batch) => boolean
  /** The drained audio is fsynced, or the commit failed. Called once for every commit, also after defects. */
  readonly settled: (error: JournalError | undefined) => void
}

export interface JournalStats {
  readonly segments: number
  readonly bytes: number
  readonly budget: number
  readonly failing: boolean
}

export class Journal extends Context.Service<
  Journal,
  {
    /** Chunks of the previous process, sealed, by start. */
    readonly recovered: ReadonlyArray<JournalChunk>
    /** Adds the source to the next periodic commit. */
    readonly markDirty: (source: CommitSource) => void
    /** Commits the source at once, without the dirty ones. */
    readonly markUrgent: (source: CommitSource) => void
    readonly commit: Effect.Effect<void>
    /** Bytes `start` to `end` (exclusive) of durable audio, copied, into `into` if large enough. `into` may be detached. */
    readonly read: (
      chunk: JournalChunk,
      start: number,
      end: number,
      into?: ArrayBuffer
    ) => Effect.Effect<Uint8Array<ArrayBuffer>, JournalError>
    /** Marks the chunk's extents as dead; segments without live extents are deleted. */
    readonly release: (chunk: JournalChunk) => Effect.Effect<void>
    /** Sets the handler that discards chunks when the budget is exceeded; it returns whether all are released. */
    readonly whenFull: (discard: (chunks: ReadonlyArray<JournalChunk>) => Effect.Effect<boolean>) => void
    /** Sets the listener for periodic commits; `lateBy` in milliseconds. */
    readonly whenCommitted: (listener: (lateBy: number) => void) => void
    /** Milliseconds since the next periodic commit was due; 0 before that. */
    readonly lateBy: () => number
    readonly stats: () => JournalStats
  }
>()("spillway/Recording/Journal/Journal") {
  static readonly layer = Layer.effect(
    Journal,
    Effect.suspend(() => make)
  )
}

const commitSeconds = DurationHistogram.make(
  "spillway_journal_commit_seconds",
  "Duration of group commits, from copy to fsync"
)
const writtenBytes = Metric.counter("spillway_journal_bytes_total", {
  description: "Bytes written to the journal",
  incremental: true
})
const tornSegments = Metric.counter("spillway_journal_torn_segments_total", {
  description: "Segments recovered with torn or corrupt records",
  incremental: true
})
const journalBytes = Metric.gauge("spillway_journal_bytes", { description: "Bytes of the journal's segments" })

interface Written extends RecordExtent {
  readonly chunk: JournalChunk
}

const make = Effect.gen(function* () {
  const config = yield* RecordingConfig
  const { dataDir } = yield* NodeConfig
  const directory = (yield* Path.Path).join(dataDir, "journal")
  yield* (yield* FileSystem.FileSystem)
    .makeDirectory(dataDir, { recursive: true })
    .pipe(Effect.mapError((cause) => new JournalError({ operation: "create", path: dataDir, cause })))

  const segments = yield* openAll(directory)
  const recovered = yield* Startup.during("The journal is being recovered.", Recovery.recover(segments))
  for (const { segment, bytes } of recovered.torn) {
    yield* Metric.update(tornSegments, 1)
    yield* segment.damaged
      ? Effect.logError(
          `journal segment ${segment.path} is damaged: ${bytes} bytes can't be recovered, the rest is used; the file is quarantined as *.damaged`
        )
      : Effect.logInfo(`truncated ${bytes} bytes of an incomplete write from the journal`)
  }
  const trim = Effect.provide(
    trimQuarantine(directory, config.damagedBytes),
    yield* Effect.context<FileSystem.FileSystem | Path.Path>()
  )
  const quarantined = yield* trim
  if (quarantined.files > 0)
    yield* Effect.logWarning(
      `${quarantined.files} damaged segments (${quarantined.bytes} bytes) are quarantined in ${directory}: delete *.damaged once they are no longer needed`
    )
  /** Includes failed attempts: a number is never reused. */
  let lastNumber = segments.at(-1)?.number ?? 0
  const createNext = Effect.suspend(() => create(directory, ++lastNumber))
  let current = yield* createNext
  /** The last commit failed: the end of the current segment is unknown, so the next commit starts a new one. */
  let failing = false
  segments.push(current)
  yield* Effect.addFinalizer(() => Effect.forEach(segments, (segment) => segment.close, { discard: true }))

  const total = () => segments.reduce((sum, segment) => sum + segment.size, 0)
  const retireDead = Effect.suspend(() =>
    Effect.forEach(
      segments.filter((segment) => segment !== current && segment.live.size === 0),
      (segment) =>
        Effect.suspend(() => {
          const index = segments.indexOf(segment)
          if (index === -1) return Effect.void
          segments.splice(index, 1)
          const retired = segment.damaged ? Effect.andThen(segment.retire, trim) : segment.retire
          return Effect.catch(retired, (error) => Effect.logWarning(error.message))
        }),
      { discard: true }
    )
  )
  yield* retireDead
  const markDead = (chunk: JournalChunk) => {
    chunk.state = "released"
    for (const segment of segments) segment.live.delete(chunk)
  }

  let discard = (_chunks: ReadonlyArray<JournalChunk>) => Effect.succeed(false)
  /** Whether the journal exceeds its budget once the current segment is full. */
  const isOverBudget = () => total() - current.size + Math.max(current.size, config.segmentBytes) > config.journalBytes
  /** Segments that the current commit has written to. */
  const unsettled = new Set<Segment>()
  const evict = Eviction.make({
    segments,
    current: () => current,
    unsettled,
    isOverBudget,
    discard: (chunks) => discard(chunks),
    markDead,
    retireDead
  })
  const startSegment = Effect.gen(function* () {
    const segment = yield* createNext
    current = segment
    segments.push(segment)
    yield* retireDead
    yield* evict
  })
  const rotate = Effect.andThen(
    Effect.suspend(() => current.sync),
    startSegment
  )

  const batch = new Batch(Math.max(config.commitBytes, config.captureBuffer + maxHeadBytes))
  const writeAll = Effect.fnUntraced(function* (sources: ReadonlyArray<CommitSource>, written: Array<Written>) {
    if (failing) {
      yield* startSegment
      // Without sources, this record proves that the disk accepts writes again.
      yield* current.append(emptyRecord)
    }
    let drained = 0
    while (drained < sources.length) {
      batch.clear()
      while (sources[drained]?.drainInto(batch) === true) drained++
      if (batch.runs.length === 0) continue
      if (current.size >= config.segmentBytes) yield* rotate
      const segment = current
      const base = segment.size
      unsettled.add(segment)
      for (const { chunk, length, position, samples } of batch.runs) {
        segment.live.add(chunk)
        written.push({ chunk, segment, position: base + position, length, samples })
      }
      yield* segment.append(batch.bytes)
      yield* Metric.update(writtenBytes, batch.bytes.length)
    }
    if (written.length > 0 || failing) yield* current.sync
    for (const each of written) each.chunk.addExtent(each)
  })

  const errorOf = (cause: Cause.Cause<JournalError>) =>
    Option.getOrElse(
      Cause.findErrorOption(cause),
      () => new JournalError({ operation: "commit", path: current.path, cause: Cause.squash(cause) })
    )
  /** A source that throws does not affect the others. */
  const settle = (sources: ReadonlyArray<CommitSource>, error: JournalError | undefined) => {
    const rest = sources.values()
    let source: CommitSource | undefined
    const settleRest = Effect.sync(() => {
      for (source of rest) source.settled(error)
      source = undefined
    })
    return settleRest.pipe(
      Effect.catchCause((cause) =>
        Effect.logError("a source of a journal commit failed to settle", cause).pipe(
          Effect.andThen(Effect.sync(() => source?.settled(errorOf(cause)))),
          Effect.ignoreCause
        )
      ),
      Effect.repeat({ while: () => source !== undefined })
    )
  }

  const lock = yield* Semaphore.make(1)
  const dirty = new Set<CommitSource>()
  const urgent = new Set<CommitSource>()
  /** Settles every source taken from the set, on every exit. */
  const commitOf = (set: Set<CommitSource>) =>
    Effect.uninterruptibleMask((restore) =>
      Effect.gen(function* () {
        const sources = [...set]
        set.clear()
        const isProbe = failing && set === dirty
        if (sources.length === 0 && !isProbe) return
        const written: Array<Written> = []
        const exit = yield* writeAll(sources, written).pipe(
          restore,
          DurationHistogram.track(commitSeconds),
          Effect.exit
        )
        unsettled.clear()
        const hadFailed = failing
        failing = Exit.isFailure(exit)
        if (Exit.isFailure(exit)) {
          for (const { chunk, segment } of written) if (!chunk.extents.isIn(segment)) segment.live.delete(chunk)
          // Logged once per outage; every commit probes again.
          const log = hadFailed ? Effect.logDebug : Effect.logError
          const message = `${errorOf(exit.cause).message}; captures are closed until it can, so check the disk`
          yield* log(message, ...(Cause.hasDies(exit.cause) ? [exit.cause] : []))
        } else if (hadFailed) yield* Effect.logInfo("the journal is writable again")
        yield* settle(sources, Exit.isFailure(exit) ? errorOf(exit.cause) : undefined)
        yield* Metric.update(journalBytes, total())
      })
    ).pipe(lock.withPermit)
  yield* Effect.addFinalizer(() => {
    const sources = [...new Set([...dirty, ...urgent])]
    const cause = new Error("the journal is closed")
    return settle(sources, new JournalError({ operation: "commit", path: directory, cause }))
  })

  const services = yield* Effect.context<never>()
  const scope = yield* Effect.scope
  let urgentRunning = false
  const logDeath = Effect.catchCause((cause: Cause.Cause<never>) => Effect.logError("a journal commit died", cause))
  const commitUrgent = commitOf(urgent).pipe(
    logDeath,
    Effect.repeat({
      while: () => {
        urgentRunning = urgent.size > 0
        return urgentRunning
      }
    }),
    Effect.forkIn(scope)
  )
  const commitMillis = Duration.toMillis(config.commitInterval)
  let onCommitted = (_lateBy: number) => {}
  let endedAt = performance.now()
  const lateBy = () => Math.max(0, performance.now() - endedAt - commitMillis)
  const commit = Effect.ensuring(
    commitOf(dirty),
    Effect.sync(() => {
      const late = lateBy()
      endedAt = performance.now()
      onCommitted(late)
    })
  )
  yield* commit.pipe(logDeath, Effect.repeat(Schedule.fixed(config.commitInterval)), Effect.forkScoped)

  const reader = yield* SegmentReader.make()
  const read = (chunk: JournalChunk, start: number, end: number, into?: ArrayBuffer) =>
    Effect.suspend(() => {
      const length = Math.max(0, Math.min(end, chunk.durable) - start)
      const buffer = into !== undefined && into.byteLength >= length ? into : new ArrayBuffer(length)
      return Effect.map(reader.read(chunk.extentsIn(start, start + length), buffer), (read) =>
        Buffer.from(read, 0, length)
      )
    })

  return Journal.of({
    recovered: recovered.chunks,
    markDirty: (source) => {
      dirty.add(source)
    },
    markUrgent: (source) => {
      urgent.add(source)
      if (urgentRunning) return
      urgentRunning = true
      Effect.runForkWith(services)(commitUrgent)
    },
    commit,
    read,
    release: (chunk) =>
      Effect.suspend(() => {
        markDead(chunk)
        return retireDead
      }),
    whenCommitted: (listener) => {
      onCommitted = listener
    },
    lateBy,
    whenFull: (handler) => {
      discard = handler
    },
    stats: () => ({ segments: segments.length, bytes: total(), budget: config.journalBytes, failing })
  })
})
