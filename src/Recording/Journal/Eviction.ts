/** Frees a segment when the journal exceeds its budget: discards audio of the largest users, copies that of others. */
import { Effect } from "effect"
import type { Extent, JournalChunk } from "./JournalChunk.ts"
import { write } from "./JournalRecord.ts"
import type { Segment } from "./Segment.ts"

export interface Eviction {
  readonly segment: Segment
  /** Chunks to discard, oldest first. */
  readonly lost: ReadonlyArray<JournalChunk>
}

interface Holder {
  bytes: number
  readonly sealed: Set<JournalChunk>
  sealedBytes: number
}

/** Open chunks and chunks being uploaded are never evicted. */
const isSealed = (chunk: JournalChunk) =>
  (chunk.state === "waiting" || chunk.state === "queued") && chunk.durable === chunk.appended

/** Sealed chunks of the largest users, who hold half of the journal: so at most half of some segment is copied. */
const mostHeld = (chunks: Iterable<JournalChunk>): ReadonlySet<JournalChunk> => {
  const holders = new Map<string, Holder>()
  let total = 0
  for (const chunk of chunks) {
    const holder = holders.get(chunk.uid) ?? { bytes: 0, sealed: new Set(), sealedBytes: 0 }
    holders.set(chunk.uid, holder)
    holder.bytes += chunk.durable
    total += chunk.durable
    if (!isSealed(chunk)) continue
    holder.sealed.add(chunk)
    holder.sealedBytes += chunk.durable
  }
  const most = new Set<JournalChunk>()
  let bytes = 0
  for (const holder of [...holders.values()].sort((a, b) => b.bytes - a.bytes)) {
    if (bytes * 2 >= total) break
    for (const chunk of holder.sealed) most.add(chunk)
    bytes += holder.sealedBytes
  }
  return most
}

const bytesIn = (segment: Segment, chunk: JournalChunk) =>
  chunk.extents.reduce((sum, extent) => (extent.segment === segment ? sum + extent.length : sum), 0)

/** Selects the first of `candidates` with at most half to copy; none when too much is open or being uploaded. */
export function selectVictims(
  segments: ReadonlyArray<Segment>,
  candidates: ReadonlyArray<Segment>
): Eviction | undefined {
  const most = mostHeld(new Set(segments.flatMap(({ live }) => [...live])))
  for (const segment of candidates) {
    const moved = [...segment.live].reduce((sum, chunk) => (most.has(chunk) ? sum : sum + bytesIn(segment, chunk)), 0)
    if (moved * 2 > segment.size) continue
    return { segment, lost: [...segment.live].filter((chunk) => most.has(chunk)).sort((a, b) => a.start - b.start) }
  }
  return undefined
}

/**
 * Copies the live extents of one segment to another, record by record with the same heads. A kill before the first segment is
 * deleted leaves duplicates, of which recovery uses one. Chunks may be released meanwhile; no other writes to either segment.
 */
export const copyLiveExtents = Effect.fnUntraced(function* (from: Segment, to: Segment) {
  const moved: Array<{ readonly chunk: JournalChunk; readonly index: number; readonly extent: Extent }> = []
  for (const chunk of from.live) {
    let offset = chunk.origin.offset
    for (const [index, extent] of chunk.extents.entries()) {
      if (extent.segment === from) {
        const audio = Buffer.allocUnsafe(extent.length)
        if ((yield* from.read(audio, extent.position)) < extent.length) return yield* from.tooShort
        const record = Buffer.allocUnsafe(chunk.head.length + extent.length)
        write(record, 0, chunk.head, offset, audio)
        const position = to.size + chunk.head.length
        yield* to.append(record)
        moved.push({ chunk, index, extent: { segment: to, position, length: extent.length } })
      }
      offset += extent.length
    }
  }
  if (moved.length > 0) yield* to.sync
  for (const { chunk, extent, index } of moved) {
    if (chunk.state === "released") continue
    chunk.extents[index] = extent
    to.live.add(chunk)
  }
  from.live.clear()
})
