/** A section of a conversation's recorded audio in memory, and the comparison of received audio with it. */
import { Timeline } from "../../Audio.ts"

/** Contiguous recorded audio from sample `at` of the span. */
export interface Run {
  readonly at: number
  readonly samples: number
  /** PCM16. Undefined if it can't be compared: another sample rate or codec, or unreadable. */
  readonly audio: Uint8Array | undefined
}

/** All audio recorded in `samples` samples from Unix second `start`. */
export interface RecordedSpan {
  readonly start: number
  readonly sampleRate: number
  readonly samples: number
  /** By `at`, without overlap. */
  readonly runs: ReadonlyArray<Run>
}

export type Verdict =
  /** The span does not reach around the position. */
  | { readonly _tag: "Unknown" }
  /** Nothing is recorded at the first `samples` samples if they begin `offset` samples later; `follows`: at the end of a run. */
  | { readonly _tag: "Free"; readonly samples: number; readonly offset: number; readonly follows: boolean }
  /** The first `samples` samples are recorded, `offset` samples after the position. */
  | { readonly _tag: "Same"; readonly samples: number; readonly offset: number }
  /** Other audio is recorded at the position. */
  | { readonly _tag: "Other" }

const unknown: Verdict = { _tag: "Unknown" }
const other: Verdict = { _tag: "Other" }

/** Fewer equal samples at the end of a run prove no replay. */
const leastSamples = 8

/** Timestamps of two neighbours and of their replays may each be off by the tolerance. */
export const slackSeconds = 4 * Timeline.toleranceSeconds

const isEqual = (one: Uint8Array, from: number, another: Uint8Array, samples: number): boolean =>
  one[from * 2] === another[0] &&
  one[from * 2 + 1] === another[1] &&
  Buffer.compare(one.subarray(from * 2, (from + samples) * 2), another.subarray(0, samples * 2)) === 0

/** Digital silence, which equals any other silence and proves no replay. */
export function isSilent(audio: Uint8Array): boolean {
  return audio.every((byte) => byte === 0)
}

/** Seconds that a span extends past the compared audio: a replay may begin in the next run. */
export const marginSeconds = 2 * slackSeconds

const toleranceOf = ({ sampleRate }: RecordedSpan): number => Math.floor(Timeline.toleranceSeconds * sampleRate)

const sampleOf = ({ sampleRate, start }: RecordedSpan, position: number): number =>
  Math.round((position - start) * sampleRate)

export function reaches(span: RecordedSpan, position: number): boolean {
  return (
    sampleOf(span, position) >= 0 && sampleOf(span, position + slackSeconds + Timeline.toleranceSeconds) < span.samples
  )
}

/** Finds `audio` in the run at the place nearest to `expected`: matching samples, and their offset from `expected`. */
const align = ({ at, audio: recorded, samples }: Run, expected: number, audio: Uint8Array, slack: number) => {
  if (recorded === undefined) return undefined
  const length = audio.length / 2
  const least = Math.min(leastSamples, length, samples)
  for (let step = 0; step <= 2 * slack; step++) {
    const offset = step % 2 === 0 ? 0 - step / 2 : (step + 1) / 2
    const from = expected + offset - at
    const count = Math.min(length, samples - from)
    if (from >= 0 && count >= least && isEqual(recorded, from, audio, count)) return { samples: count, offset }
  }
  return undefined
}

/** Compares `audio` that begins at Unix second `position` with the span. */
export function compare(span: RecordedSpan, position: number, audio: Uint8Array): Verdict {
  if (!reaches(span, position)) return unknown
  const at = sampleOf(span, position)
  const slack = Math.ceil(slackSeconds * span.sampleRate)
  const found = span.runs
    .filter((run) => run.at <= at + slack && run.at + run.samples > at - slack)
    .flatMap((run) => align(run, at, audio, slack) ?? [])
    .sort((a, b) => Math.abs(a.offset) - Math.abs(b.offset))[0]
  if (found !== undefined) return { _tag: "Same", ...found }
  const tolerance = toleranceOf(span)
  const run = span.runs.find((run) => run.at + run.samples > at + tolerance)
  if (run !== undefined && run.at <= at + tolerance) return other
  const before = span.runs.findLast((run) => Math.abs(run.at + run.samples - at) <= tolerance)
  const begin = before === undefined ? at : before.at + before.samples
  const length = audio.length / 2
  const next = run?.at ?? span.samples
  const exactBegin = before === undefined ? (position - span.start) * span.sampleRate : begin
  // The run begins up to half a sample earlier, and playback trims an overlap beyond the tolerance.
  const mayOverlap = exactBegin + length - next <= Timeline.toleranceSeconds * span.sampleRate - 0.5
  const samples = run !== undefined && mayOverlap ? length : Math.min(length, next - begin)
  return { _tag: "Free", samples, offset: begin - at, follows: before !== undefined }
}

/** The Unix second nearest to `position` at which the span contains `audio`. */
export function find(span: RecordedSpan, position: number, audio: Uint8Array): number | undefined {
  let nearest: number | undefined
  for (const { at, audio: recorded } of span.runs) {
    if (recorded === undefined) continue
    const bytes = Buffer.from(recorded.buffer, recorded.byteOffset, recorded.byteLength)
    for (let found = bytes.indexOf(audio); found !== -1; found = bytes.indexOf(audio, found + 1)) {
      const time = span.start + (at + found / 2) / span.sampleRate
      if (found % 2 === 0 && Math.abs(time - position) < Math.abs((nearest ?? Infinity) - position)) nearest = time
    }
  }
  return nearest
}

export function incomparable(start: number, end: number, sampleRate: number): RecordedSpan {
  const samples = Math.ceil((end - start + marginSeconds) * sampleRate)
  return { start, sampleRate, samples, runs: [{ at: 0, samples, audio: undefined }] }
}
