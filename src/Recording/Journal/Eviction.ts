/**
 * Frees segments while the journal exceeds its budget: stored audio is released first, then audio of the largest users is
 * discarded and that of others is moved.
 */
import { Effect } from "effect"
import type { RecordExtent } from "./Extents.ts"
import type { JournalChunk } from "./JournalChunk.ts"
import { writeRecord } from "./JournalRecord.ts"
import type { JournalError, Segment } from "./Segment.ts"

/** Pause between two attempts to discard audio. */
const discardPause = "100 millis"

interface Victims {
  readonly segment: Segment
  /** Chunks to discard, oldest first. */
  readonly lost: ReadonlyArray<JournalChunk>
}

interface Holder {
  bytes: number
  readonly evictable: Set<JournalChunk>
  evictableBytes: number
}

/** Only sealed chunks that are not being uploaded. */
const isEvictable = (chunk: JournalChunk) =>
  (chunk.state === "waiting" || chunk.state === "queued") && chunk.durable === chunk.appended

/** Evictable chunks of the largest users, who hold half of the journal: so at most half of some segment has to be moved. */
const mostHeld = (chunks: Iterable<JournalChunk>): ReadonlySet<JournalChunk> => {
  const holders = new Map<string, Holder>()
  let total = 0
  for (const chunk of chunks) {
    const holder = holders.get(chunk.uid) ?? { bytes: 0, evictable: new Set(), evictableBytes: 0 }
    holders.set(chunk.uid, holder)
    holder.bytes += chunk.durable
    total += chunk.durable
    if (!isEvictable(chunk)) continue
    holder.evictable.add(chunk)
    holder.evictableBytes += chunk.durable
  }
  const most = new Set<JournalChunk>()
  let bytes = 0
  for (const holder of [...holders.values()].sort((a, b) => b.bytes - a.bytes)) {
    if (bytes * 2 >= total) break
    for (const chunk of holder.evictable) most.add(chunk)
    bytes += holder.evictableBytes
  }
  return most
}

/** Selects the first of `candidates` with at most half to move; none when too much is open or being uploaded. */
const selectVictims = (segments: ReadonlyArray<Segment>, candidates: ReadonlyArray<Segment>): Victims | undefined => {
  const most = mostHeld(new Set(segments.flatMap(({ live }) => [...live])))
  for (const segment of candidates) {
    const moved = [...segment.live].reduce(
      (sum, chunk) => (most.has(chunk) ? sum : sum + chunk.extents.bytesIn(segment)),
      0
    )
    if (moved * 2 > segment.size) continue
    return { segment, lost: [...segment.live].filter((chunk) => most.has(chunk)).sort((a, b) => a.start - b.start) }
  }
  return undefined
}

/**
 * Moves the live extents of one segment to another, record by record with the same heads. A kill before the first segment is
 * deleted leaves duplicates, of which recovery uses one. Chunks may be released meanwhile; no other writes to either segment.
 */
const moveLiveExtents = Effect.fnUntraced(function* (from: Segment, to: Segment) {
  const moved: Array<{ readonly chunk: JournalChunk; readonly index: number; readonly extent: RecordExtent }> = []
  for (const chunk of from.live) {
    let { sample } = chunk.origin
    let index = 0
    for (const extent of chunk.extents) {
      if (extent.segment === from) {
        const audio = Buffer.allocUnsafe(extent.length)
        if ((yield* from.read(audio, extent.position)) < extent.length) return yield* from.tooShort
        const record = Buffer.allocUnsafe(chunk.head.length + extent.length)
        writeRecord(record, 0, chunk.head, sample, audio)
        const position = to.size + chunk.head.length
        yield* to.append(record)
        moved.push({ chunk, index, extent: { ...extent, segment: to, position } })
      }
      sample += extent.samples
      index++
    }
  }
  if (moved.length > 0) yield* to.sync
  for (const { chunk, extent, index } of moved) {
    if (chunk.state === "released") continue
    chunk.extents.replace(index, extent)
    to.live.add(chunk)
  }
  from.live.clear()
})

/** What eviction uses of the journal. */
interface Evicted {
  readonly segments: ReadonlyArray<Segment>
  /** The segment that is written to, and that audio is moved to. */
  readonly current: () => Segment
  /** Segments that the current commit has written to; they are not evicted. */
  readonly unsettled: ReadonlySet<Segment>
  /** Whether the journal exceeds its budget once the current segment is full. */
  readonly isOverBudget: () => boolean
  /** Records chunks as lost and releases them; returns whether all are released. */
  readonly discard: (chunks: ReadonlyArray<JournalChunk>) => Effect.Effect<boolean>
  /** Makes the extents of a chunk dead. Their segments stay until `retireDead`. */
  readonly markDead: (chunk: JournalChunk) => void
  /** Deletes segments without live extents. */
  readonly retireDead: Effect.Effect<void>
}

/** Evicts until a full current segment fits the budget. Commits wait meanwhile, and so do the sockets. */
export function make({ current, discard, isOverBudget, markDead, retireDead, segments, unsettled }: Evicted) {
  const unreadable = new WeakSet<Segment>()
  return Effect.gen(function* (): Effect.fn.Return<void, JournalError> {
    if (isOverBudget()) {
      const live = segments.flatMap((segment) => [...segment.live])
      for (const chunk of live) if (chunk.state === "retained") markDead(chunk)
      yield* retireDead
    }
    while (isOverBudget()) {
      const to = current()
      const candidates = segments.filter(
        (segment) => segment !== to && !unreadable.has(segment) && !unsettled.has(segment)
      )
      const victims = selectVictims(segments, candidates)
      if (victims === undefined)
        return yield* Effect.logWarning(
          "the journal exceeds its budget: most of its audio is still being recorded or uploaded"
        )
      const { lost, segment } = victims
      if (!(yield* discard(lost))) {
        yield* Effect.sleep(discardPause)
        continue
      }
      yield* Effect.catchIf(
        moveLiveExtents(segment, to),
        (error) => error.path === segment.path,
        (error) =>
          Effect.andThen(
            Effect.sync(() => unreadable.add(segment)),
            Effect.logError(error.message)
          )
      )
      yield* retireDead
    }
  })
}
