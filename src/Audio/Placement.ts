/**
 * Places a chunk on the timeline from the state after the previous chunk. Positions are samples since the Unix epoch at the
 * file's sample rate, so an earlier insertion moves no later chunk.
 */
import { Codec, type Span } from "./Span.ts"

/** A chunk to place. One in the state `lost` has no audio: it is silence unless another chunk covers it. */
export interface TimelineChunk extends Span {
  readonly codec: Codec
  readonly state?: string
  readonly id?: string
}

type Spans = ReadonlyArray<readonly [from: number, to: number]>

export interface State {
  readonly sampleRate: number
  readonly codec: Codec
  readonly heard: number
  /** End of the last audio or lost span. */
  readonly end: number
  /** Lost spans that later chunks may still cover: ascending and disjoint. */
  readonly pending: Spans
}

export interface Placement {
  readonly begins: boolean
  readonly at: number
  /** Samples at its head that are not heard, because earlier audio covers them. */
  readonly skip: number
  /** Samples that are heard: 0 if it is lost or covered by earlier audio. */
  readonly heard: number
  /** Change of the file's lost samples: negative where audio covers a lost span. */
  readonly lost: number
  readonly state: State
}

/** Largest distance from the end of the previous audio at which a chunk is contiguous. */
export const toleranceSeconds = 0.001

/** Today's Unix time as a double is exact to a quarter of a microsecond. */
const resolutionSeconds = 1e-6

export function positionOf(seconds: number, sampleRate: number): number {
  return Math.round(seconds * sampleRate)
}

const lengthOf = (spans: Spans): number => spans.reduce((sum, [from, to]) => sum + to - from, 0)

const before = (spans: Spans, position: number): Spans =>
  spans.flatMap(([from, to]) => (from < position ? [[from, Math.min(to, position)] as const] : []))

const after = (spans: Spans, position: number): Spans =>
  spans.flatMap(([from, to]) => (to > position ? [[Math.max(from, position), to] as const] : []))

const gap = ({ sampleRate }: State, position: number, chunk: TimelineChunk): number =>
  chunk.start - position / sampleRate

const takes = (state: State, chunk: TimelineChunk, gapSeconds: number): boolean =>
  state.codec === chunk.codec &&
  state.sampleRate === chunk.sampleRate &&
  gap(state, state.end, chunk) <= gapSeconds + resolutionSeconds

/** Places a lost span. The parts that are heard or already lost don't count. */
const addLost = (state: State, chunk: TimelineChunk, begins: boolean): Placement => {
  const at = positionOf(chunk.start, chunk.sampleRate)
  const to = at + chunk.samples
  // Contiguous audio may be placed slightly before its own start.
  const covers = at - Math.ceil(state.sampleRate * (toleranceSeconds + resolutionSeconds)) - 1
  const pending = after(state.pending, covers)
  const last = pending.at(-1)
  const from = Math.max(at, state.heard, last?.[1] ?? state.heard)
  const end = Math.max(state.end, to)
  const next = { begins, at: Math.max(at, state.heard), skip: 0, heard: 0 }
  if (from >= to) return { ...next, lost: 0, state: { ...state, end, pending } }
  const joined: Spans =
    last !== undefined && from === last[1] ? [...pending.slice(0, -1), [last[0], to]] : [...pending, [from, to]]
  return { ...next, lost: to - from, state: { ...state, end, pending: joined } }
}

const addAudio = (state: State, chunk: TimelineChunk, begins: boolean): Placement => {
  const isContiguous = Math.abs(gap(state, state.heard, chunk)) <= toleranceSeconds + resolutionSeconds
  const start = isContiguous ? state.heard : positionOf(chunk.start, chunk.sampleRate)
  const at = Math.max(start, state.heard)
  const skip = at - start
  if (skip >= chunk.samples) return { begins, at, skip: 0, heard: 0, lost: 0, state }
  const samples = chunk.samples - skip
  const heard = at + samples
  const pending = after(state.pending, heard)
  const covered = lengthOf(state.pending) - lengthOf(before(state.pending, at)) - lengthOf(pending)
  return {
    begins,
    at,
    skip,
    heard: samples,
    lost: covered === 0 ? 0 : -covered,
    state: { ...state, heard, end: Math.max(state.end, heard), pending }
  }
}

/**
 * Places the next chunk. A gap of more than `gapSeconds`, another sample rate or another codec begins a file. A gap of more
 * than 1 ms is silence; where chunks overlap by more than that, the earlier one is heard.
 */
export function place(state: State | undefined, chunk: TimelineChunk, gapSeconds: number): Placement {
  const add = chunk.state === "lost" ? addLost : addAudio
  if (state !== undefined && takes(state, chunk, gapSeconds)) return add(state, chunk, false)
  const { codec, sampleRate } = chunk
  const origin = positionOf(chunk.start, sampleRate)
  return add({ sampleRate, codec, heard: origin, end: origin, pending: [] }, chunk, true)
}

/** Whether both states place the same chunks alike. */
export function isSame(a: State, b: State): boolean {
  return (
    a.heard === b.heard &&
    a.end === b.end &&
    a.sampleRate === b.sampleRate &&
    a.codec === b.codec &&
    a.pending.length === b.pending.length &&
    a.pending.every(([from, to], index) => from === b.pending[index]?.[0] && to === b.pending[index]?.[1])
  )
}
