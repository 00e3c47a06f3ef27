/** Rebuilds the chunks of the journal from its segments after a stop or a crash. */
import { Effect } from "effect"
import { Bitstream } from "../../Audio.ts"
import * as Crypto from "node:crypto"
import { claimedEnd, type JournalRecord, magicBytes, maxAudioBytes, maxHeadBytes, readRecord } from "./JournalRecord.ts"
import * as ChunkId from "./ChunkId.ts"
import { ClockShifts } from "./ClockShifts.ts"
import type { RecordExtent } from "./Extents.ts"
import { JournalChunk } from "./JournalChunk.ts"
import type { JournalError, Segment } from "./Segment.ts"

export interface Recovered {
  /** Sealed, by start. */
  readonly chunks: ReadonlyArray<JournalChunk>
  readonly torn: ReadonlyArray<{ readonly segment: Segment; readonly bytes: number }>
}

interface Found {
  readonly head: JournalRecord
  readonly clockShifts: ClockShifts
  readonly pieces: Array<{ readonly chunkSample: number; readonly extent: RecordExtent }>
}

const isRecord = (found: ReturnType<typeof readRecord>): found is JournalRecord =>
  found !== undefined && found !== "more"

interface Scanned {
  /** Offset at which the last valid record ends. */
  readonly good: number
  /** Unusable bytes before `good`. */
  readonly skipped: number
  /** Bytes after `good` may be a record. */
  readonly hasMore: boolean
}

/** Adds the audio of a record to its chunk. False if the chunk is unknown, unless a record must begin there. */
const addPiece = (
  found: Map<string, Found>,
  record: JournalRecord,
  extent: RecordExtent,
  isBoundary: boolean
): boolean => {
  const entry =
    found.get(record.id) ?? (isBoundary ? { head: record, clockShifts: new ClockShifts(), pieces: [] } : undefined)
  if (entry === undefined) return false
  found.set(record.id, entry)
  for (const shift of record.clockShifts) entry.clockShifts.add(shift)
  entry.pieces.push({ chunkSample: record.chunkSample, extent })
  return true
}

/** Where the scan resumes after an invalid record at `at`, and whether a record must begin there. */
const resumeAfter = (window: Buffer, at: number, isBoundary: boolean) => {
  const claimed = isBoundary ? claimedEnd(window, at) : undefined
  if (claimed !== undefined && isRecord(readRecord(window, claimed))) return { at: claimed, isBoundary }
  const next = window.indexOf(magicBytes, at + 1)
  return { at: next === -1 ? Math.max(at + 1, window.length - magicBytes.length + 1) : next, isBoundary: false }
}

/**
 * Reads one segment. After an invalid record, the scan resumes at that record's claimed end if a valid record is there, else
 * at the next record of a known chunk. Audio could be crafted to look like records, but ids of chunks are secret.
 */
const scan = Effect.fnUntraced(function* (segment: Segment, buffer: Buffer, found: Map<string, Found>) {
  let base = 0
  let good = 0
  let skipped = 0
  let hasMore = false
  /** A record must begin at `at`: no invalid bytes are before it. */
  let isBoundary = true
  while (base < segment.size) {
    const filled = yield* segment.read(buffer.subarray(0, Math.min(buffer.length, segment.size - base)), base)
    if (filled === 0) break
    const window = buffer.subarray(0, filled)
    const isLast = base + filled >= segment.size
    let at = 0
    while (at < filled) {
      const record = readRecord(window, at)
      if (isRecord(record)) {
        const { audioLength: length, audioOffset, codec, sampleRate } = record
        const audio = window.subarray(audioOffset, audioOffset + length)
        const samples = Bitstream.of(codec, sampleRate).samples(audio)
        const extent = { segment, position: base + audioOffset, length, samples }
        const isEmpty = isBoundary && length === 0
        if (isEmpty || addPiece(found, record, extent, isBoundary)) {
          skipped += base + at - good
          at = audioOffset + length
          good = base + at
          isBoundary = true
          hasMore = false
          continue
        }
        hasMore = true
      } else if (at > 0 && !isLast && (record === "more" || isBoundary)) {
        // The next window begins here and has room for any record.
        break
      }
      ;({ at, isBoundary } = resumeAfter(window, at, isBoundary))
    }
    base += at
  }
  const scanned: Scanned = { good, skipped, hasMore }
  return scanned
})

/** Id of the audio after a hole in a chunk: deterministic, so that repeated recoveries store it once. */
const idAfterHole = (id: string, chunkSample: number): string =>
  ChunkId.textOf(
    Crypto.createHash("sha256")
      .update(ChunkId.bytesOf(id))
      .update(String(chunkSample * 2))
      .digest()
      .subarray(0, 16)
  )

const assemble = ({ clockShifts, head, pieces }: Found): ReadonlyArray<JournalChunk> => {
  const chunks: Array<JournalChunk> = []
  let chunk: JournalChunk | undefined
  let next = 0
  for (const piece of pieces.sort((a, b) => a.chunkSample - b.chunkSample)) {
    if (piece.chunkSample < next) continue
    if (chunk === undefined || piece.chunkSample > next) {
      const isFirst = piece.chunkSample === 0
      chunk = new JournalChunk(
        {
          ...head,
          clockShifts: clockShifts.all,
          id: isFirst ? head.id : idAfterHole(head.id, piece.chunkSample),
          start: head.start + piece.chunkSample / head.sampleRate
        },
        0,
        { id: head.id, start: head.start, sample: piece.chunkSample }
      )
      chunk.state = "waiting"
      chunk.mayBeStored = true
      chunks.push(chunk)
    }
    chunk.addExtent(piece.extent)
    chunk.settle()
    piece.extent.segment.live.add(chunk)
    next = piece.chunkSample + piece.extent.samples
  }
  for (const recovered of chunks) recovered.compact()
  return chunks
}

/** A torn end of the last segment is the result of a kill and is truncated. Anything else is damage, and the file is quarantined. */
export const recover = Effect.fnUntraced(function* (
  segments: ReadonlyArray<Segment>
): Effect.fn.Return<Recovered, JournalError> {
  const found = new Map<string, Found>()
  const torn: Array<{ segment: Segment; bytes: number }> = []
  const buffer = Buffer.allocUnsafeSlow(maxAudioBytes + maxHeadBytes)
  for (const segment of segments) {
    const { good, hasMore, skipped } = yield* scan(segment, buffer, found)
    const rest = segment.size - good
    if (rest + skipped === 0) continue
    torn.push({ segment, bytes: rest + skipped })
    if (segment === segments.at(-1) && skipped === 0 && !hasMore) yield* segment.truncate(good)
    else segment.damaged = true
  }
  const chunks = [...found.values()].flatMap(assemble).sort((a, b) => a.start - b.start)
  return { chunks, torn }
})
