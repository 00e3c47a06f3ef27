/** A part of a conversation's recorded audio, in memory, and what audio that is sent for the same time is beside it. Pure. */
import { Timeline } from "../../Audio.ts"

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

/** Stamps of two neighbors and of their replays may each be off by the tolerance. */
export const slackSeconds = 4 * Timeline.toleranceSeconds

/** Whether `samples` samples are the same, from sample `from` of one and the first of the other on. */
const isEqual = (one: Uint8Array, from: number, another: Uint8Array, samples: number): boolean =>
  one[from * 2] === another[0] &&
  one[from * 2 + 1] === another[1] &&
  Buffer.compare(one.subarray(from * 2, (from + samples) * 2), another.subarray(0, samples * 2)) === 0

/** Digital silence: it equals any other, so that it is no proof of a replay. */
export function isSilent(audio: Uint8Array): boolean {
  return audio.every((byte) => byte === 0)
}

/** A span goes so far beyond what is compared in it: a replay may begin in the next run. */
export const marginSeconds = 2 * slackSeconds

const toleranceOf = ({ sampleRate }: RecordedSpan): number => Math.floor(Timeline.toleranceSeconds * sampleRate)

const sampleOf = ({ sampleRate, start }: RecordedSpan, position: number): number =>
  Math.round((position - start) * sampleRate)

/** Whether audio that begins at unix second `position` can be compared. */
export function reaches(span: RecordedSpan, position: number): boolean {
  return (
    sampleOf(span, position) >= 0 && sampleOf(span, position + slackSeconds + Timeline.toleranceSeconds) < span.samples
  )
}

/** Where `audio` is in the run: how many of its samples, and how many samples behind `expected`, the nearest place first. */
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

/** What `audio` is that begins at unix second `position`. */
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
  const free = (run?.at ?? span.samples) - begin
  const samples = run !== undefined && length - free <= tolerance ? length : Math.min(length, free)
  return { _tag: "Free", samples, offset: begin - at }
}

/** Unix second next to `position` at which `audio` is recorded in the span. */
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

/** A span of which nothing can be compared. */
export function incomparable(start: number, end: number, sampleRate: number): RecordedSpan {
  const samples = Math.ceil((end - start + marginSeconds) * sampleRate)
  return { start, sampleRate, samples, runs: [{ at: 0, samples, audio: undefined }] }
}
