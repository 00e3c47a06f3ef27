/**
 * What makes room when the journal's budget is spent: a segment becomes free when the audio of who holds most is given up
 * in it and everybody else's moves on to the newest segment. Pure.
 */
import type { JournalChunk } from "./JournalChunk.ts"
import type { Segment } from "./Segment.ts"

export interface Eviction {
  readonly segment: Segment
  /** Oldest first. */
  readonly lost: ReadonlyArray<JournalChunk>
}

interface Holder {
  bytes: number
  readonly sealed: Set<JournalChunk>
  sealedBytes: number
}

/** What is open or on its way to the store is never given up. */
const isSealed = (chunk: JournalChunk) =>
  (chunk.state === "waiting" || chunk.state === "queued") && chunk.durable === chunk.appended

/**
 * The sealed chunks of those who hold most: of as many users as it takes for half of the journal. So some segment has at
 * least half of its audio from them, and no more than half of a segment is ever moved.
 */
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

/** The first of `candidates` of which at most half has to be moved; none when too much is open or on its way to the store. */
export function find(segments: ReadonlyArray<Segment>, candidates: ReadonlyArray<Segment>): Eviction | undefined {
  const most = mostHeld(new Set(segments.flatMap(({ live }) => [...live])))
  for (const segment of candidates) {
    const moved = [...segment.live].reduce((sum, chunk) => (most.has(chunk) ? sum : sum + bytesIn(segment, chunk)), 0)
    if (moved * 2 > segment.size) continue
    return { segment, lost: [...segment.live].filter((chunk) => most.has(chunk)).sort((a, b) => a.start - b.start) }
  }
  return undefined
}
