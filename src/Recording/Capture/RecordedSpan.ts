/** A section of a conversation's recorded audio in memory, and the comparison of received audio with it. */
import { type Bitstream, Timeline } from "../../Audio.ts"

/** Contiguous recorded audio from sample `at` of the span. */
export interface Run {
  readonly at: number
  readonly samples: number
  /** Undefined if it can't be compared: another sample rate or codec, or unreadable. */
  readonly audio: Uint8Array | undefined
  /** Samples of the run at which one of its chunks ends and the next one begins; default none. */
  readonly boundaries?: ReadonlyArray<number>
}

/** All audio recorded in `samples` samples from Unix second `start`. */
export interface RecordedSpan {
  readonly start: number
  /** Of the audio that can be compared. */
  readonly bitstream: Bitstream.Bitstream
  readonly samples: number
  /** By `at`, without overlap. */
  readonly runs: ReadonlyArray<Run>
}

export type Verdict =
  /** The span does not reach around the position. */
  | { readonly _tag: "Unknown" }
  /** Nothing is recorded at the first `samples` samples if they begin `offset` samples later; `follows`: at the end of a run. */
  | { readonly _tag: "Free"; readonly samples: number; readonly offset: number; readonly follows: boolean }
  /** The first `samples` samples are recorded, `offset` samples after the position; `isAtEnd`: nothing is right after them. */
  | { readonly _tag: "Same"; readonly samples: number; readonly offset: number; readonly isAtEnd: boolean }
  /** Other audio is recorded at the position. */
  | { readonly _tag: "Other" }

const unknown: Verdict = { _tag: "Unknown" }
const other: Verdict = { _tag: "Other" }

/** Timestamps of two neighbours and of their replays may each be off by the tolerance. */
export const slackSeconds = 4 * Timeline.toleranceSeconds

/** Seconds that a span extends past the compared audio: a replay may begin in the next run. */
export const marginSeconds = 2 * slackSeconds

const toleranceOf = ({ bitstream }: RecordedSpan): number =>
  Math.floor(Timeline.toleranceSeconds * bitstream.sampleRate)

const sampleOf = ({ bitstream, start }: RecordedSpan, position: number): number =>
  Math.round((position - start) * bitstream.sampleRate)

/**
 * Finds `audio` in a run, at most `slack` samples from sample `position`: all of it, or else beginnings of it that end where a
 * chunk ends, because they filled the end of a gap, and other audio is recorded after the gap.
 */
function* matchesIn(
  { bitstream }: RecordedSpan,
  { audio: recorded, boundaries = [] }: Run,
  position: number,
  slack: number,
  audio: Uint8Array
): Generator<Bitstream.Match, void> {
  if (recorded === undefined) return
  const whole = bitstream.align(recorded, position, slack, audio)
  if (whole !== undefined) return yield whole
  for (const boundary of boundaries.toReversed()) {
    if (boundary <= position) return
    const before = recorded.subarray(0, bitstream.bytesOf(recorded, boundary))
    const match = bitstream.align(before, position, slack, audio)
    if (match === undefined) continue
    const part = audio.subarray(0, bitstream.bytesOf(audio, match.samples))
    if (bitstream.needle(part) !== undefined) yield match
  }
}

export function reaches(span: RecordedSpan, position: number): boolean {
  return (
    sampleOf(span, position) >= 0 && sampleOf(span, position + slackSeconds + Timeline.toleranceSeconds) < span.samples
  )
}

/** Compares `audio` that begins at Unix second `position` with the span. */
export function compare(span: RecordedSpan, position: number, audio: Uint8Array): Verdict {
  if (!reaches(span, position)) return unknown
  const at = sampleOf(span, position)
  const { bitstream } = span
  const slack = Math.ceil(slackSeconds * bitstream.sampleRate)
  const found = span.runs
    .filter((run) => run.at <= at + slack && run.at + run.samples > at - slack)
    .flatMap((run) =>
      [...matchesIn(span, run, at - run.at, slack, audio)].map((match) => {
        const end = at + match.offset + match.samples
        return { ...match, isAtEnd: end === run.at + run.samples && end < span.samples }
      })
    )
    .sort((a, b) => Math.abs(a.offset) - Math.abs(b.offset))[0]
  if (found !== undefined) return { _tag: "Same", ...found }
  const tolerance = toleranceOf(span)
  const run = span.runs.find((run) => run.at + run.samples > at + tolerance)
  if (run !== undefined && run.at <= at + tolerance) return other
  const before = span.runs.findLast((run) => Math.abs(run.at + run.samples - at) <= tolerance)
  const begin = before === undefined ? at : before.at + before.samples
  const length = bitstream.samples(audio)
  const next = run?.at ?? span.samples
  const exactBegin = before === undefined ? (position - span.start) * bitstream.sampleRate : begin
  // The run begins up to half a sample earlier, and playback trims an overlap beyond the tolerance.
  const mayOverlap = exactBegin + length - next <= Timeline.toleranceSeconds * bitstream.sampleRate - 0.5
  const room = run !== undefined && mayOverlap ? length : Math.min(length, next - begin)
  const fits = bitstream.bytesOf(audio, room)
  const isSmall = fits < Math.min(audio.length, bitstream.leastNeedleBytes)
  if (isSmall && run !== undefined) {
    // A packet that reaches into the run would cover the beginning of it.
    if (fits === 0) return other
    // Without a replay after it, so small a part would not be found again.
    if (matchesIn(span, run, 0, slack, audio.subarray(fits)).next().done === true) return other
  }
  // Nothing is recorded later if a span from here on ends so soon.
  if (isSmall && at > 2 * slack) return unknown
  const samples = bitstream.samples(audio.subarray(0, fits || bitstream.first(audio)))
  return { _tag: "Free", samples, offset: begin - at, follows: before !== undefined }
}

/** The Unix second nearest to `position` at which the span contains `audio`. */
export function find(span: RecordedSpan, position: number, audio: Uint8Array): number | undefined {
  let nearest: number | undefined
  for (const { at, audio: recorded } of span.runs) {
    if (recorded === undefined) continue
    for (const place of span.bitstream.places(recorded, audio)) {
      const time = span.start + (at + place) / span.bitstream.sampleRate
      if (Math.abs(time - position) < Math.abs((nearest ?? Infinity) - position)) nearest = time
    }
  }
  return nearest
}

export function incomparable(start: number, end: number, bitstream: Bitstream.Bitstream): RecordedSpan {
  const samples = Math.ceil((end - start + marginSeconds) * bitstream.sampleRate)
  return { start, bitstream, samples, runs: [{ at: 0, samples, audio: undefined }] }
}
