/**
 * Where on its conversation's timeline a capture's audio lies. Audio whose stamps lie in recorded time is a replay if it has
 * the samples that are recorded there. Otherwise its clock is wrong: it is placed where the recorded audio ends, and so is
 * what follows, until its stamps are ahead of that end again. Plain code.
 */
import { Timeline } from "../../Audio.ts"
import { compare, incomparable, isSilent, reaches, type RecordedSpan } from "./RecordedSpan.ts"

const { toleranceSeconds } = Timeline

/** A jump of the clock that is followed when spans are not exact. */
const looseGapSeconds = 2

/** Less is jitter, or drift of a clock: the audio is placed by it all the same, and nobody is told. */
export const leastShiftSeconds = 0.01

/** Stamps this close are the same one: doubles hold today's unix time to a quarter of a microsecond. */
const sameSeconds = 1e-6

export type Step =
  /**
   * The first `samples` samples are new and lie at unix second `at`, `shift` seconds later than their stamps. `isSetBack`:
   * other audio is recorded at these.
   */
  | {
      readonly _tag: "New"
      readonly at: number
      readonly samples: number
      readonly shift: number
      readonly isSetBack: boolean
    }
  /** The first `samples` samples are recorded. */
  | { readonly _tag: "Replay"; readonly samples: number }
  /** What is recorded from unix second `at` on must be known first. */
  | { readonly _tag: "Recall"; readonly at: number }

export class ClockShifts {
  readonly #sampleRate: number
  readonly #exact: boolean
  /** Seconds between the stamps and where the audio lies. Negative only while a replay is compared. */
  #shift = 0
  /** Unix second at which the audio so far ends by its stamps. Those that are not exact go on from there. */
  #expected: number | undefined
  /** Stamp of the last audio that was placed. */
  #last: number | undefined
  #span: RecordedSpan | undefined
  /** Unix second before which the span is out of date. */
  #spanFrom = 0
  #hasNew = false
  /**
   * What the last audio says of the next: `replay`, it is recorded too, nearly always; `exact`, stamps are where audio lies,
   * so that an overlap is one; `coarse`, they are not.
   */
  #mode: "replay" | "exact" | "coarse" = "replay"

  constructor(sampleRate: number, exact: boolean) {
    this.#sampleRate = sampleRate
    this.#exact = exact
  }

  /** A client that comes back begins with replays: only before anything new it is worth to look for them elsewhere. */
  get mayHaveMoved(): boolean {
    return !this.#hasNew
  }

  /** Stamps that are not exact go on where the audio before them ends, up to a jump of 2 s. */
  stampOf(start: number): number {
    if (this.#exact || this.#expected === undefined) return start
    return Math.abs(start - this.#expected) <= looseGapSeconds ? this.#expected : start
  }

  /** Unix second at which audio with this stamp lies if it is new; it is in recorded time if that is before `end`. */
  positionOf(stamp: number, end: number): number {
    if (stamp >= end - toleranceSeconds) {
      this.#shift = 0
      return stamp
    }
    return stamp + this.#shift
  }

  /** `audio`, which begins at `stamp`, when the recorded audio ends at `end`. `tail`: the end of it, if it is in memory. */
  next(stamp: number, audio: Uint8Array, end: number, tail: () => RecordedSpan | undefined): Step {
    const at = this.positionOf(stamp, end)
    const samples = audio.length / 2
    if (at >= end - toleranceSeconds) this.#span = undefined
    if (at > end + toleranceSeconds + sameSeconds) return this.#place(stamp, at, samples)
    // To the sample: roundings of one chunk and the next would add up to an overlap, of which one part is not heard.
    if (at >= end - toleranceSeconds) return this.#place(stamp, end, samples)
    // A clock that stands still sends nothing again: the same samples are a tone, or silence.
    if (!this.#mayRepeat(stamp)) return this.#append(stamp, end, samples)
    const span = this.#spanAt(at, tail())
    if (span === undefined) return { _tag: "Recall", at }
    const verdict = compare(span, at, audio)
    switch (verdict._tag) {
      case "Unknown":
        return { _tag: "Recall", at }
      case "Free":
        this.#spanFrom = at + (verdict.offset + verdict.samples) / this.#sampleRate
        return this.#place(stamp, at + verdict.offset / this.#sampleRate, verdict.samples, "replay")
      case "Same": {
        // Silence is the same as any other: with a clock that stands still it is what is said now.
        if (this.#isStuck(stamp) && isSilent(audio.subarray(0, verdict.samples * 2))) break
        this.#shift = at - stamp + verdict.offset / this.#sampleRate
        this.#settle(stamp, verdict.samples)
        this.#mode = "replay"
        return { _tag: "Replay", samples: verdict.samples }
      }
      case "Other":
        break
    }
    if (this.#last === undefined || this.#isSetBack(stamp)) this.#shift = end - stamp
    this.#span = undefined
    return this.#append(stamp, end, samples)
  }

  /** `span`: what is recorded from where it was asked for, undefined if it can't be known. `moved`: the replay was found so many seconds later. */
  recalled(at: number, end: number, span: RecordedSpan | undefined, moved: number): void {
    const isKnown = span !== undefined && reaches(span, at + moved)
    this.#span = isKnown ? span : incomparable(at, end, this.#sampleRate)
    this.#spanFrom = this.#span.start
    if (isKnown) this.#shift += moved
  }

  #spanAt(at: number, tail: RecordedSpan | undefined): RecordedSpan | undefined {
    if (tail !== undefined && at >= tail.start - sameSeconds) return tail
    return this.#span !== undefined && at >= this.#spanFrom - sameSeconds ? this.#span : undefined
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

  #place(stamp: number, at: number, samples: number, mode: "replay" | "exact" = "exact"): Step {
    return this.#new({ at, samples, shift: this.#shift, isSetBack: false }, stamp, mode)
  }

  /**
   * Places audio with stamps in recorded time at its end. The shift that later audio keeps stays: coarse stamps are in
   * recorded time until the next one, and would push it further behind each time.
   */
  #append(stamp: number, end: number, samples: number): Step {
    return this.#new({ at: end, samples, shift: end - stamp, isSetBack: true }, stamp, "coarse")
  }

  #new(
    step: { readonly at: number; readonly samples: number; readonly shift: number; readonly isSetBack: boolean },
    stamp: number,
    mode: "replay" | "exact" | "coarse"
  ): Step {
    this.#settle(stamp, step.samples)
    this.#hasNew = true
    this.#mode = mode
    return { _tag: "New", ...step, shift: Math.abs(step.shift) < leastShiftSeconds ? 0 : step.shift }
  }

  #settle(stamp: number, samples: number): void {
    this.#last = stamp
    this.#expected = stamp + samples / this.#sampleRate
  }
}
