/** Rebuilds the chunks of a journal from its segments, after any kind of stop. */
import { Effect } from "effect"
import * as Crypto from "node:crypto"
import { type JournalRecord, magicBytes, maxAudioBytes, maxHeadBytes, read } from "./JournalRecord.ts"
import { type Extent, LiveChunk } from "./LiveChunk.ts"
import type { JournalError, Segment } from "./Segment.ts"

export interface Recovered {
  /** Sealed, by start. */
  readonly chunks: ReadonlyArray<LiveChunk>
  /** Segments whose reading ended at a record that is torn or corrupt, with the bytes that were not used. */
  readonly torn: ReadonlyArray<{ readonly segment: Segment; readonly bytes: number }>
}

interface Found {
  readonly head: JournalRecord
  readonly pieces: Array<{ readonly chunkOffset: number; readonly extent: Extent }>
}

/** Reads one segment up to its end or its first bad record; answers the bytes that were good. */
const scan = Effect.fnUntraced(function* (segment: Segment, buffer: Buffer, found: Map<string, Found>) {
  let base = 0
  while (base < segment.size) {
    const filled = yield* segment.read(buffer.subarray(0, Math.min(buffer.length, segment.size - base)), base)
    const window = buffer.subarray(0, filled)
    let at = 0
    let record = read(window, at)
    while (record !== undefined && record !== "more") {
      const id = Buffer.from(record.id).toString("hex")
      const entry = found.get(id) ?? { head: record, pieces: [] }
      found.set(id, entry)
      entry.pieces.push({
        chunkOffset: record.chunkOffset,
        extent: { segment, position: base + record.audioOffset, length: record.audioLength }
      })
      at = record.audioOffset + record.audioLength
      record = read(window, at)
    }
    base += at
    if (record === undefined || at === 0) return base
  }
  return base
})

/** Whether a whole record lies somewhere after `from`: then the bytes before it are damage, and no unfinished write. */
const goesOn = Effect.fnUntraced(function* (segment: Segment, from: number, buffer: Buffer) {
  const filled = yield* segment.read(buffer.subarray(0, Math.min(buffer.length, segment.size - from)), from)
  const window = buffer.subarray(0, filled)
  for (let at = window.indexOf(magicBytes, 1); at !== -1; at = window.indexOf(magicBytes, at + 1)) {
    const record = read(window, at)
    if (record !== undefined && record !== "more") return true
  }
  return false
})

/** The id of what follows a hole in a chunk: the same at every recovery, so that it is stored once. */
const idAfterHole = (id: Uint8Array, chunkOffset: number): Uint8Array =>
  Uint8Array.from(Crypto.createHash("sha256").update(id).update(String(chunkOffset)).digest().subarray(0, 16))

/** One chunk, or several where the journal lost a part in the middle. */
const assemble = ({ head, pieces }: Found): ReadonlyArray<LiveChunk> => {
  const chunks: Array<LiveChunk> = []
  let chunk: LiveChunk | undefined
  let next = 0
  for (const piece of pieces.sort((a, b) => a.chunkOffset - b.chunkOffset)) {
    if (piece.chunkOffset < next) continue
    if (chunk === undefined || piece.chunkOffset > next) {
      const whole = piece.chunkOffset === 0
      chunk = new LiveChunk(
        {
          ...head,
          id: whole ? head.id : idAfterHole(head.id, piece.chunkOffset),
          start: head.start + piece.chunkOffset / 2 / head.sampleRate
        },
        0,
        { id: head.id, start: head.start, offset: piece.chunkOffset }
      )
      chunk.state = "waiting"
      chunks.push(chunk)
    }
    chunk.addExtent(piece.extent)
    chunk.appended = chunk.durable
    piece.extent.segment.live.add(chunk)
    next = piece.chunkOffset + piece.extent.length
  }
  return chunks
}

/** A torn end of the last segment is what a kill leaves, and is cut off; anywhere else it is damage, and the file is kept. */
export const recover = Effect.fnUntraced(function* (
  segments: ReadonlyArray<Segment>
): Effect.fn.Return<Recovered, JournalError> {
  const found = new Map<string, Found>()
  const torn: Array<{ segment: Segment; bytes: number }> = []
  const buffer = Buffer.allocUnsafeSlow(maxAudioBytes + maxHeadBytes)
  for (const segment of segments) {
    const good = yield* scan(segment, buffer, found)
    if (good === segment.size) continue
    torn.push({ segment, bytes: segment.size - good })
    if (segment === segments.at(-1) && !(yield* goesOn(segment, good, buffer))) yield* segment.truncate(good)
    else segment.damaged = true
  }
  const chunks = [...found.values()].flatMap(assemble).sort((a, b) => a.start - b.start)
  return { chunks, torn }
})
