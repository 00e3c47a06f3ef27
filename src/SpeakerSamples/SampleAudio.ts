/** The audio of a speaker sample: what a person says in some segments of a conversation, as one WAV file. */
import { Effect, Option, Predicate } from "effect"
import { inBackground } from "../Bulkhead.ts"
import { Playback } from "../Playback.ts"
import { Recording } from "../Recording.ts"
import { type StoredSegment, Transcripts } from "../Transcripts.ts"
import type { ClaimedSample, Outcome } from "./SampleRows.ts"

/** Longest sample; segments beyond it are left out. At 48 kHz it has 3 MB. */
const maxSeconds = 30

/** A shorter sample says nothing of a voice. */
const minSeconds = 0.5

/** Audio that may be missing of a sample that is cut before the end of the patience. */
const tolerance = 0.05

export interface Time {
  readonly from: number
  readonly to: number
}

export interface Sample {
  readonly wav: Buffer
  readonly seconds: number
  /** Audio of all the segments, up to `maxSeconds`. */
  readonly isWhole: boolean
}

const headerBytes = 44

const endOf = ({ json }: StoredSegment): number => {
  const segment: unknown = JSON.parse(json)
  const end = Predicate.hasProperty(segment, "end") ? segment.end : undefined
  return Predicate.isNumber(end) ? end : -Infinity
}

/** Times of the segments, in order and without overlaps, `maxSeconds` at most. Segments without an end have none. */
export function timesOf(start: number, segments: ReadonlyArray<StoredSegment>): ReadonlyArray<Time> {
  const times: Array<Time> = []
  let left = maxSeconds
  let last = -Infinity
  for (const segment of segments) {
    const from = Math.max(start + Math.max(0, segment.start), last)
    const to = Math.min(start + endOf(segment), from + left)
    if (to <= from) continue
    times.push({ from, to })
    left -= to - from
    last = to
  }
  return times
}

const secondsOf = (times: ReadonlyArray<Time>) => times.reduce((sum, { from, to }) => sum + to - from, 0)

export const make = Effect.gen(function* () {
  const recording = yield* Recording
  const playback = yield* Playback
  const transcripts = yield* Transcripts

  /** An outcome: what is missing. */
  return Effect.fnUntraced(function* ({ conversation, segments, uid }: ClaimedSample) {
    const found = Option.getOrUndefined(yield* recording.conversation(uid, conversation, { files: 1 }))
    if (found === undefined) return "conversation_not_found" satisfies Outcome
    const known = yield* transcripts.segments(uid, conversation, segments)
    const times = timesOf(found.span?.start ?? 0, known)
    if (times.length === 0) return "segments_missing" satisfies Outcome
    const rendition = Option.getOrUndefined(yield* playback.excerpt(uid, conversation, times, "wav"))
    if (rendition === undefined) return "audio_missing" satisfies Outcome
    const { begin, file, size = 0 } = rendition
    const seconds = file.samples / file.sampleRate
    if (seconds < minSeconds) return "audio_missing" satisfies Outcome
    const { first, next } = yield* inBackground(begin({ start: 0, end: size }))
    const pieces = [...first]
    for (let more = yield* inBackground(next); more !== undefined; more = yield* inBackground(next))
      pieces.push(...more)
    const wav = Buffer.concat(pieces)
    // Gaps and lost audio are silence.
    if (wav.subarray(headerBytes).every((byte) => byte === 0)) return "audio_missing" satisfies Outcome
    const isWhole = known.length === segments.length && seconds >= secondsOf(times) - tolerance
    return { wav, seconds, isWhole } satisfies Sample
  }, Effect.scoped)
})
