/**
 * Tells replays from new audio. Audio with timestamps in recorded time is a replay if the same samples are recorded there.
 * Otherwise the sender's clock is wrong: the audio is placed at the end of the recorded audio, as is all that follows until
 * its timestamps are past that end.
 */
import { type Bitstream, Timeline } from "../../Audio.ts"
import { compare, incomparable, reaches, type RecordedSpan, slackSeconds } from "./RecordedSpan.ts"

const { toleranceSeconds } = Timeline

/** Smallest jump of inexact timestamps that counts as a gap. */
const inexactGapSeconds = 2

/** Smaller shifts are jitter or clock drift: they are applied but not reported. */
export const leastShiftSeconds = 0.01

/** Resolution of timestamps: doubles hold today's Unix time to a quarter of a microsecond. */
const sameSeconds = 1e-6

/** Where new audio lies. */
export interface Placement {
  /** Unix second of the first sample, `shift` seconds after its timestamp. */
  readonly at: number
  readonly shift: number
  /** Other audio is recorded at the timestamps. */
  readonly isDisplaced: boolean
  readonly follows: boolean
}

export type Step =
  /** The first `samples` samples are new. */
  | ({ readonly _tag: "New"; readonly samples: number } & Placement)
  /** The first `samples` samples are already recorded. */
  | { readonly _tag: "Replay"; readonly samples: number }
  /** The audio must be compared with what is recorded at Unix second `at`, which `recalled` takes. */
  | { readonly _tag: "Recall"; readonly at: number }

export class ReplayCheck {
  readonly #bitstream: Bitstream.Bitstream
  readonly #exact: boolean
  /** Seconds from the timestamps to the placement. Negative only while a replay is compared. */
  #shift = 0
  /** Unix second at which the audio so far ends by its timestamps. */
  #expected: number | undefined
  #last: number | undefined
  #span: RecordedSpan | undefined
  /** Unix second before which the span is stale. */
  #spanFrom = 0
  #hasNew = false
  /** Unix second at which the last replay ends. */
  #replayEnd: number | undefined
  /** The recorded audio has been searched for a replay of the next audio. */
  #hasSearched = false
  /**
   * What the last audio predicts of the next: `replay`, it is probably recorded too; `exact`, timestamps are precise, so an
   * overlap is real; `coarse`, they are not.
   */
  #mode: "replay" | "exact" | "coarse" = "replay"

  constructor(bitstream: Bitstream.Bitstream, exact: boolean) {
    this.#bitstream = bitstream
    this.#exact = exact
  }

  /** Whether to search for a replay at other times: a reconnected client sends its replays before new audio. */
  get mayHaveMoved(): boolean {
    return !this.#hasNew
  }

  get replayEnd(): number | undefined {
    return this.#replayEnd
  }

  /** Inexact timestamps continue at the end of the previous audio unless they jump by more than 2 s. */
  stampOf(start: number): number {
    if (this.#exact || this.#expected === undefined) return start
    return Math.abs(start - this.#expected) <= inexactGapSeconds ? this.#expected : start
  }

  /** Unix second at which new audio with this timestamp lies; before `end` it is in recorded time. */
  positionOf(stamp: number, end: number): number {
    if (stamp >= end - toleranceSeconds) {
      this.#shift = 0
      return stamp
    }
    return stamp + this.#shift
  }

  /** Classifies `audio` that begins at `stamp`. The recorded audio ends at `end`; `tail` returns that end if it is in memory. */
  next(stamp: number, audio: Uint8Array, end: number, tail: () => RecordedSpan | undefined): Step {
    if (this.#needsSearch(stamp) && stamp < end - toleranceSeconds) {
      this.#shift = 0
      return { _tag: "Recall", at: stamp }
    }
    const at = this.positionOf(stamp, end)
    const samples = this.#bitstream.samples(audio)
    const rest = this.#restOfReplay(at, end, audio)
    if (rest > 0) return this.#replay(stamp, at, rest)
    if (at >= end - toleranceSeconds) this.#span = undefined
    if (at > end + toleranceSeconds + sameSeconds) return this.#place(stamp, at, samples, false)
    // Exactly at the end: rounding errors of consecutive chunks would add up to an overlap.
    if (at >= end - toleranceSeconds) return this.#place(stamp, end, samples, true)
    // With a stuck clock, equal samples are a tone or silence, not a replay.
    if (!this.#mayRepeat(stamp)) return this.#append(stamp, end, samples)
    const span = this.#spanAt(at, tail())
    if (span === undefined) return { _tag: "Recall", at }
    const verdict = compare(span, at, audio)
    switch (verdict._tag) {
      case "Unknown":
        return { _tag: "Recall", at }
      case "Free":
        this.#spanFrom = at + (verdict.offset + verdict.samples) / this.#bitstream.sampleRate
        return this.#place(
          stamp,
          at + verdict.offset / this.#bitstream.sampleRate,
          verdict.samples,
          verdict.follows,
          "replay"
        )
      case "Same": {
        // Silence matches any silence: with a stuck clock it counts as new.
        if (this.#isStuck(stamp) && this.#isSilent(audio, verdict.samples)) break
        const found = at + verdict.offset / this.#bitstream.sampleRate
        const seconds = verdict.samples / this.#bitstream.sampleRate
        // Times in a span are rounded to samples: new audio must not be taken for the rest of a replay.
        const isAtEnd = verdict.isAtEnd && Math.abs(end - found - seconds) <= toleranceSeconds
        return this.#replay(stamp, isAtEnd ? end - seconds : found, verdict.samples)
      }
      case "Other": {
        if (!this.mayHaveMoved || this.#hasSearched) break
        // Earlier audio with contiguous timestamps may have filled a gap, and this one was placed at the end.
        this.#expected = undefined
        return this.next(stamp, audio, end, tail)
      }
    }
    if (this.#last === undefined || this.#isSetBack(stamp)) this.#shift = end - stamp
    this.#span = undefined
    return this.#append(stamp, end, samples)
  }

  /** Takes the recorded span at `at`; undefined if it can't be read. `moved`: seconds after `at` at which the replay was found. */
  recalled(at: number, end: number, span: RecordedSpan | undefined, moved: number): void {
    this.#hasSearched = true
    const isKnown = span !== undefined && reaches(span, at + moved)
    this.#span = isKnown ? span : incomparable(at, end, this.#bitstream)
    this.#spanFrom = this.#span.start
    if (isKnown) this.#shift += moved
  }

  #spanAt(at: number, tail: RecordedSpan | undefined): RecordedSpan | undefined {
    if (tail !== undefined && at >= tail.start - sameSeconds) return tail
    return this.#span !== undefined && at >= this.#spanFrom - sameSeconds ? this.#span : undefined
  }

  /** True where the timestamps of a replay jump: the clock may have been set, and each part may have another shift. */
  #needsSearch(stamp: number): boolean {
    if (this.#hasNew || this.#hasSearched) return false
    return this.#expected === undefined || Math.abs(stamp - this.#expected) > slackSeconds
  }

  /** Samples from the end of a replay to the end of the recorded audio, if that is within the tolerance: too few to compare. */
  #restOfReplay(at: number, end: number, audio: Uint8Array): number {
    if (this.#replayEnd === undefined || Math.abs(at - this.#replayEnd) > sameSeconds) return 0
    const rest = Math.round((end - at) * this.#bitstream.sampleRate)
    if (rest <= 0 || at < end - toleranceSeconds) return 0
    return this.#bitstream.samples(audio.subarray(0, this.#bitstream.bytesOf(audio, rest)))
  }

  #replay(stamp: number, at: number, samples: number): Step {
    this.#shift = at - stamp
    this.#settle(stamp, samples)
    this.#replayEnd = at + samples / this.#bitstream.sampleRate
    this.#mode = "replay"
    return { _tag: "Replay", samples }
  }

  #isSilent(audio: Uint8Array, samples: number): boolean {
    return this.#bitstream.isSilent(audio.subarray(0, this.#bitstream.bytesOf(audio, samples)))
  }

  #isStuck(stamp: number): boolean {
    return this.#last !== undefined && stamp <= this.#last + sameSeconds
  }

  #isSetBack(stamp: number): boolean {
    return this.#last !== undefined && stamp < this.#last - sameSeconds
  }

  #mayRepeat(stamp: number): boolean {
    if (this.#mode === "replay" || this.#isSetBack(stamp)) return true
    return this.#mode === "exact" && !this.#isStuck(stamp)
  }

  #place(stamp: number, at: number, samples: number, follows: boolean, mode: "replay" | "exact" = "exact"): Step {
    return this.#new({ at, samples, shift: this.#shift, isDisplaced: false, follows }, stamp, mode)
  }

  /** Keeps the shift for later audio: coarse timestamps stay in recorded time for some frames, and would increase it each time. */
  #append(stamp: number, end: number, samples: number): Step {
    return this.#new({ at: end, samples, shift: end - stamp, isDisplaced: true, follows: true }, stamp, "coarse")
  }

  #new(step: Placement & { readonly samples: number }, stamp: number, mode: "replay" | "exact" | "coarse"): Step {
    this.#settle(stamp, step.samples)
    this.#hasNew = true
    this.#replayEnd = undefined
    this.#mode = mode
    return { _tag: "New", ...step, shift: Math.abs(step.shift) < leastShiftSeconds ? 0 : step.shift }
  }

  #settle(stamp: number, samples: number): void {
    this.#hasSearched = false
    this.#last = stamp
    this.#expected = stamp + samples / this.#bitstream.sampleRate
  }
}
