/** A part of a conversation's recorded audio, in memory, and what audio that is sent for the same time is beside it. Pure. */
import { Timeline } from "../Audio.ts"

/** Recorded audio from sample `at` of the span on. Runs do not touch, unless one of them can't be compared. */
export interface Run {
  readonly at: number
  readonly samples: number
  /** PCM16. Undefined when it can't be compared: another sample rate or codec, or it can't be read. */
  readonly audio: Uint8Array | undefined
}

/** Everything that is recorded in `samples` samples from unix second `start` on. */
export interface RecordedSpan {
  readonly start: number
  readonly sampleRate: number
  readonly samples: number
  /** By `at`, without overlap. */
  readonly runs: ReadonlyArray<Run>
}

export type Verdict =
  /** The span does not reach there. */
  | { readonly _tag: "Unknown" }
  /** Nothing is recorded at the first `samples` samples, if they begin `offset` samples later: where a run ends. */
  | { readonly _tag: "Free"; readonly samples: number; readonly offset: number }
  /** The first `samples` samples are recorded, `offset` samples later than where they were looked for. */
  | { readonly _tag: "Same"; readonly samples: number; readonly offset: number }
  /** Other audio is recorded where it begins. */
  | { readonly _tag: "Other" }

const unknown: Verdict = { _tag: "Unknown" }
const other: Verdict = { _tag: "Other" }

/** Fewer samples than this that are equal prove nothing. */
const leastSamples = 8

/** Stamps of the original and of its replay may each be off by the tolerance. */
export const slackSeconds = 2 * Timeline.toleranceSeconds

/** Whether `samples` samples are the same, from sample `from` of one and the first of the other on. */
const isEqual = (one: Uint8Array, from: number, another: Uint8Array, samples: number): boolean =>
  one[from * 2] === another[0] &&
  one[from * 2 + 1] === another[1] &&
  Buffer.compare(one.subarray(from * 2, (from + samples) * 2), another.subarray(0, samples * 2)) === 0

/** Digital silence: it equals any other, so that it is no proof of a replay. */
export const isSilent = (audio: Uint8Array): boolean => audio.every((byte) => byte === 0)

const toleranceOf = ({ sampleRate }: RecordedSpan): number => Math.floor(Timeline.toleranceSeconds * sampleRate)

const sampleOf = ({ sampleRate, start }: RecordedSpan, position: number): number =>
  Math.round((position - start) * sampleRate)

/** Whether audio that begins at unix second `position` can be compared: more than the tolerance is known from there on. */
export const reaches = (span: RecordedSpan, position: number): boolean => {
  const at = sampleOf(span, position)
  return at >= 0 && at + toleranceOf(span) < span.samples
}

/** What `audio` is that begins at unix second `position`. */
export const compare = (span: RecordedSpan, position: number, audio: Uint8Array): Verdict => {
  if (!reaches(span, position)) return unknown
  const { runs, sampleRate, samples: known } = span
  const at = sampleOf(span, position)
  const length = audio.length / 2
  const tolerance = toleranceOf(span)
  const run = runs.find((run) => run.at + run.samples > at + tolerance)
  if (run === undefined || run.at > at + tolerance) {
    const before = runs.findLast((run) => Math.abs(run.at + run.samples - at) <= tolerance)
    const begin = before === undefined ? at : before.at + before.samples
    const free = (run?.at ?? known) - begin
    const samples = run !== undefined && length - free <= tolerance ? length : Math.min(length, free)
    return { _tag: "Free", samples, offset: begin - at }
  }
  if (run.audio === undefined) return other
  const expected = Math.min(length, run.at + run.samples - at)
  const slack = Math.ceil(slackSeconds * sampleRate)
  for (let step = 0; step <= 2 * slack; step++) {
    const offset = step % 2 === 0 ? 0 - step / 2 : (step + 1) / 2
    const from = at + offset - run.at
    const samples = Math.min(length, run.samples - from)
    if (from < 0 || samples < Math.min(expected, leastSamples)) continue
    if (isEqual(run.audio, from, audio, samples)) return { _tag: "Same", samples, offset }
  }
  return other
}

/** Unix second next to `position` at which `audio` is recorded in the span. */
export const find = (span: RecordedSpan, position: number, audio: Uint8Array): number | undefined => {
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

/** A span of which nothing can be compared. */
export const incomparable = (start: number, end: number, sampleRate: number): RecordedSpan => {
  const samples = Math.ceil((end - start + slackSeconds) * sampleRate)
  return { start, sampleRate, samples, runs: [{ at: 0, samples, audio: undefined }] }
}
