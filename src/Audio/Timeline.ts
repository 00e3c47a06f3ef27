/** Lays chunks out as audio files: at which sample each of them is heard, and where there is silence. */
import type { Codec, Span } from "./Span.ts"

/** What is laid out. A chunk in the state `lost` has no audio: it is silence, unless another chunk covers it. */
export interface TimelineChunk extends Span {
  readonly codec: Codec
  readonly state?: string
}

/** `samples` samples of a chunk, from its sample `skip` on, heard from sample `offset` of the file on. */
export interface Piece<C> {
  readonly chunk: C
  readonly offset: number
  readonly skip: number
  readonly samples: number
}

/** A run of chunks without a long gap. What no piece covers is silence. */
export interface AudioFile<C> {
  /** Unix seconds of the first sample. */
  readonly start: number
  readonly sampleRate: number
  readonly codec: Codec
  /** Length, silence included. */
  readonly samples: number
  /** What the pieces have together. */
  readonly capturedSamples: number
  /** Silence where audio was recorded and then lost. */
  readonly lostSamples: number
  /** By offset; they do not overlap. */
  readonly pieces: ReadonlyArray<Piece<C>>
}

interface Interval {
  readonly from: number
  readonly to: number
}

interface Draft<C> {
  readonly first: C
  readonly pieces: Array<Piece<C>>
  readonly lost: Array<Interval>
  /** Samples up to the end of the last piece. */
  heard: number
  /** Samples up to the end of the last piece or lost span. */
  end: number
}

/** What begins this close to where the audio before it ends is contiguous. */
export const toleranceSeconds = 0.001

/** Today's unix time as a double is exact to a quarter of a microsecond. */
const resolutionSeconds = 1e-6

/** Seconds from sample `samples` of the draft to the start of the chunk. Counted from the file's start: roundings never add up. */
const gap = (draft: Draft<TimelineChunk>, samples: number, chunk: TimelineChunk): number =>
  chunk.start - (draft.first.start + samples / draft.first.sampleRate)

const belongs = (draft: Draft<TimelineChunk>, chunk: TimelineChunk, gapSeconds: number): boolean =>
  draft.first.codec === chunk.codec &&
  draft.first.sampleRate === chunk.sampleRate &&
  gap(draft, draft.end, chunk) <= gapSeconds + resolutionSeconds

/** The sample of the file at which the chunk begins by its own start. */
const place = (draft: Draft<TimelineChunk>, chunk: TimelineChunk): number =>
  Math.round((chunk.start - draft.first.start) * chunk.sampleRate)

const addLost = <C extends TimelineChunk>(draft: Draft<C>, chunk: C): void => {
  const from = place(draft, chunk)
  draft.lost.push({ from, to: from + chunk.samples })
  draft.end = Math.max(draft.end, from + chunk.samples)
}

const addAudio = <C extends TimelineChunk>(draft: Draft<C>, chunk: C): void => {
  const isContiguous = Math.abs(gap(draft, draft.heard, chunk)) <= toleranceSeconds + resolutionSeconds
  const begin = isContiguous ? draft.heard : place(draft, chunk)
  const offset = Math.max(begin, draft.heard)
  const skip = offset - begin
  if (skip >= chunk.samples) return
  draft.pieces.push({ chunk, offset, skip, samples: chunk.samples - skip })
  draft.heard = begin + chunk.samples
  draft.end = Math.max(draft.end, draft.heard)
}

/** Samples of the intervals, by their start, that no piece covers. */
const uncovered = (intervals: ReadonlyArray<Interval>, pieces: ReadonlyArray<Piece<unknown>>): number => {
  let sum = 0
  let done = 0
  let index = 0
  for (const { from, to } of intervals) {
    done = Math.max(done, from)
    for (; index < pieces.length; index++) {
      const piece = pieces[index]
      if (piece === undefined || piece.offset >= to) break
      sum += Math.max(0, piece.offset - done)
      done = Math.max(done, piece.offset + piece.samples)
      if (done > to) break
    }
    sum += Math.max(0, to - done)
    done = Math.max(done, to)
  }
  return sum
}

const finish = <C extends TimelineChunk>({ end, first, lost, pieces }: Draft<C>): AudioFile<C> => ({
  start: first.start,
  sampleRate: first.sampleRate,
  codec: first.codec,
  samples: end,
  capturedSamples: pieces.reduce((sum, piece) => sum + piece.samples, 0),
  lostSamples: uncovered(lost, pieces),
  pieces
})

/**
 * The audio files of one conversation, by start, from chunks in any order. More than `gapSeconds` without a chunk,
 * another sample rate or another codec begin a new file. A gap of more than 1 ms is silence; where chunks overlap by
 * more than that, the one that began earlier is heard.
 */
export const layout = <C extends TimelineChunk>(
  chunks: Iterable<C>,
  gapSeconds: number
): ReadonlyArray<AudioFile<C>> => {
  const drafts: Array<Draft<C>> = []
  for (const chunk of [...chunks].sort((a, b) => a.start - b.start)) {
    if (chunk.samples <= 0) continue
    let draft = drafts.at(-1)
    if (draft === undefined || !belongs(draft, chunk, gapSeconds)) {
      draft = { first: chunk, pieces: [], lost: [], heard: 0, end: 0 }
      drafts.push(draft)
    }
    if (chunk.state === "lost") addLost(draft, chunk)
    else addAudio(draft, chunk)
  }
  return drafts.map(finish)
}
