/** An audio file while chunks are added to it, by start: what it has come to so far, as plain data. */
import { Schema } from "effect"
import { Codec, type Span } from "./Span.ts"

/** What is laid out. A chunk in the state `lost` has no audio: it is silence, unless another chunk covers it. */
export interface TimelineChunk extends Span {
  readonly codec: Codec
  readonly state?: string
  readonly id?: string
}

/** Samples of the file are counted from its `start`. */
export const Draft = Schema.Struct({
  start: Schema.Finite,
  sampleRate: Schema.Int,
  codec: Codec,
  /** Up to the end of the last audio. */
  heard: Schema.Int,
  /** Up to the end of the last audio or lost span. */
  end: Schema.Int,
  captured: Schema.Int,
  /** Lost, and covered by nothing that comes. */
  lost: Schema.Int,
  /** Lost spans that what comes may still cover, from and to; by start, apart. */
  pending: Schema.Array(Schema.Tuple([Schema.Int, Schema.Int]))
})
export type Draft = typeof Draft.Type

/** Where audio of a chunk is heard: `samples` from its sample `skip` on, from sample `offset` of the file on. */
export interface Place {
  readonly offset: number
  readonly skip: number
  readonly samples: number
}

/** What begins this close to where the audio before it ends is contiguous. */
export const toleranceSeconds = 0.001

/** Today's unix time as a double is exact to a quarter of a microsecond. */
const resolutionSeconds = 1e-6

export const begin = ({ codec, sampleRate, start }: TimelineChunk): Draft => ({
  start,
  sampleRate,
  codec,
  heard: 0,
  end: 0,
  captured: 0,
  lost: 0,
  pending: []
})

/** Seconds from sample `samples` of the draft to the start of the chunk. Counted from the file's start: roundings never add up. */
const gap = (draft: Draft, samples: number, chunk: TimelineChunk): number =>
  chunk.start - (draft.start + samples / draft.sampleRate)

/** Whether the chunk belongs to the same file. */
export const takes = (draft: Draft, chunk: TimelineChunk, gapSeconds: number): boolean =>
  draft.codec === chunk.codec &&
  draft.sampleRate === chunk.sampleRate &&
  gap(draft, draft.end, chunk) <= gapSeconds + resolutionSeconds

/** The sample of the file at which the chunk begins by its own start. */
const place = (draft: Draft, chunk: TimelineChunk): number => Math.round((chunk.start - draft.start) * chunk.sampleRate)

const lengthOf = (spans: Draft["pending"]): number => spans.reduce((sum, [from, to]) => sum + to - from, 0)

const before = (spans: Draft["pending"], sample: number): Draft["pending"] =>
  spans.flatMap(([from, to]) => (from < sample ? [[from, Math.min(to, sample)] as const] : []))

const after = (spans: Draft["pending"], sample: number): Draft["pending"] =>
  spans.flatMap(([from, to]) => (to > sample ? [[Math.max(from, sample), to] as const] : []))

/** Nothing that comes covers what is before `sample`. */
const settle = (draft: Draft, sample: number): Pick<Draft, "lost" | "pending"> =>
  draft.pending.length === 0
    ? draft
    : { lost: draft.lost + lengthOf(before(draft.pending, sample)), pending: after(draft.pending, sample) }

/** A span without audio. From its start to what was heard last there is no gap: a gap ends where a chunk begins, and those come by start. */
export const addLost = (draft: Draft, chunk: TimelineChunk): Draft => {
  const at = place(draft, chunk)
  const to = at + chunk.samples
  // Contiguous audio may be heard a little before its own start.
  const { lost, pending } = settle(draft, at - Math.ceil(draft.sampleRate * (toleranceSeconds + resolutionSeconds)) - 1)
  const [lastFrom, lastTo] = pending.at(-1) ?? [0, 0]
  const from = Math.max(at, draft.heard, lastTo)
  const end = Math.max(draft.end, to)
  if (from >= to) return { ...draft, end, lost, pending }
  const isNext = from === lastTo && pending.length > 0
  return {
    ...draft,
    end,
    lost,
    pending: isNext ? [...pending.slice(0, -1), [lastFrom, to]] : [...pending, [from, to]]
  }
}

/** Audio, and where it is heard; nowhere if all of it is covered. */
export const addAudio = (
  draft: Draft,
  chunk: TimelineChunk
): { readonly draft: Draft; readonly place: Place | undefined } => {
  const isContiguous = Math.abs(gap(draft, draft.heard, chunk)) <= toleranceSeconds + resolutionSeconds
  const start = isContiguous ? draft.heard : place(draft, chunk)
  const offset = Math.max(start, draft.heard)
  const skip = offset - start
  if (skip >= chunk.samples) return { draft, place: undefined }
  const samples = chunk.samples - skip
  const heard = offset + samples
  const { lost, pending } = settle(draft, offset)
  return {
    draft: {
      ...draft,
      heard,
      end: Math.max(draft.end, heard),
      captured: draft.captured + samples,
      lost,
      pending: after(pending, heard)
    },
    place: { offset, skip, samples }
  }
}

/** Samples of silence where audio was recorded and then lost. */
export const lostSamples = ({ lost, pending }: Draft): number => lost + lengthOf(pending)
