/** A recording split into chunks in any way, and the audio that a listener must get. */
import { Schema } from "effect"
import type { TimelineChunk } from "../../../src/Audio/Timeline.ts"

export interface Cut extends TimelineChunk {
  readonly pcm: Uint8Array
}

export interface Recorded {
  /** In any order. */
  readonly chunks: ReadonlyArray<Cut>
  /** PCM16 LE of the whole, with silence where nothing was recorded. */
  readonly pcm: Uint8Array
  readonly lostSamples: number
}

const between = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))

const world = {
  rate: Schema.Literals([8000, 11_025, 16_000, 44_100, 48_000]),
  /** Parts of a second, so that starts have many decimals. */
  fraction: between(0, 999_998),
  /** Decides the order of the chunks. */
  order: between(1, 1_000_000)
}

const many = { minLength: 1, maxLength: 25 }

/** Chunks that leave gaps, overlap, or lie within others; each begins `move` ticks after the end of all before it. */
export const Overlapping = Schema.Struct({
  ...world,
  cuts: Schema.Array(
    Schema.Struct({ move: between(-12, 8), ticks: between(1, 10), lost: Schema.Literals([false, false, true]) })
  ).check(Schema.isMinLength(many.minLength), Schema.isMaxLength(many.maxLength))
})

/** Chunks one after the other, with clocks that are up to 0.99 ms (`jitter`, in microseconds) off where there is no gap. */
export const Jittered = Schema.Struct({
  ...world,
  cuts: Schema.Array(
    Schema.Struct({
      gap: Schema.Union([Schema.Literal(0), Schema.Literal(0), between(60, 400)]),
      samples: between(150, 400),
      jitter: between(-990, 990)
    })
  ).check(Schema.isMinLength(many.minLength), Schema.isMaxLength(many.maxLength))
})

interface Taken {
  readonly from: number
  readonly samples: number
  readonly lost: boolean
  readonly jitter: number
}

/** The value of each sample; never 0, so that none is silence. */
export const spoken = (from: number, samples: number): Buffer => {
  const pcm = Buffer.alloc(samples * 2)
  for (let i = 0; i < samples; i++) pcm.writeInt16LE((((from + i) * 7919) % 32_767) + 1, i * 2)
  return pcm
}

const shuffled = <A>(list: ReadonlyArray<A>, order: number): ReadonlyArray<A> =>
  list
    .map((value, index) => ({ value, key: ((index + 1) * order) % 1_000_003 }))
    .sort((a, b) => a.key - b.key)
    .map(({ value }) => value)

const record = (
  list: ReadonlyArray<Taken>,
  { fraction, order, rate }: Omit<typeof Jittered.Type, "cuts">
): Recorded => {
  const first = Math.min(...list.map(({ from }) => from))
  const pcm = Buffer.alloc((Math.max(...list.map(({ from, samples }) => from + samples)) - first) * 2)
  const lost = new Set<number>()
  for (const { from, samples } of list.filter((each) => each.lost)) {
    for (let i = 0; i < samples; i++) lost.add(from + i)
  }
  for (const { from, samples } of list.filter((each) => !each.lost)) {
    pcm.set(spoken(from - first, samples), (from - first) * 2)
    for (let i = 0; i < samples; i++) lost.delete(from + i)
  }
  // Rounded to a sample of the clock, as playback does.
  const start = 1_700_000_000 + Math.round((fraction / 999_999) * rate) / rate
  const chunks = list.map(({ from, jitter, lost, samples }): Cut => ({
    start: start + (from - first) / rate + jitter / 1e6,
    samples,
    sampleRate: rate,
    codec: "pcm16",
    state: lost ? "lost" : "stored",
    pcm: spoken(from - first, samples)
  }))
  return { chunks: shuffled(chunks, order), pcm, lostSamples: lost.size }
}

export const overlapping = (options: typeof Overlapping.Type): Recorded => {
  // Just over a millisecond: starts that differ are out of tolerance.
  const tick = Math.trunc(options.rate / 1000) + 1
  let end = 0
  const list = options.cuts.map(({ lost, move, ticks }): Taken => {
    const from = end + move * tick
    end = Math.max(end, from + ticks * tick)
    return { from, samples: ticks * tick, lost, jitter: 0 }
  })
  return record(list, options)
}

export const jittered = (options: typeof Jittered.Type): Recorded => {
  let end = 0
  const list = options.cuts.map(({ gap, jitter, samples }, index): Taken => {
    const from = end + gap
    end = from + samples
    return { from, samples, lost: false, jitter: gap > 0 || index === 0 ? 0 : jitter }
  })
  return record(list, options)
}
