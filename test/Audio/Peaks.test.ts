/** The lowest and highest samples of each tenth of a second, however the audio arrives. */
import { assert, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { Peaks } from "../../src/Audio.ts"

const Sound = Schema.Struct({
  rate: Schema.Literals([80, 110, 8000]),
  samples: Schema.Array(Schema.Int.check(Schema.isBetween({ minimum: -32_768, maximum: 32_767 }))),
  cuts: Schema.Array(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 40 })))
})

const pcm = (samples: ReadonlyArray<number>) => {
  const bytes = Buffer.alloc(samples.length * 2)
  samples.forEach((sample, index) => bytes.writeInt16LE(sample, index * 2))
  return bytes
}

const pair = (samples: ReadonlyArray<number>) => [
  Math.floor(Math.min(...samples) / 256),
  Math.min(127, Math.ceil(Math.max(...samples) / 256)) || 0
]

const expected = (samples: ReadonlyArray<number>, rate: number) => {
  if (samples.length === 0) return [0, 0]
  const tenths = Array.from({ length: Math.ceil((samples.length * 10) / rate) + 1 }, (_, index) =>
    samples.slice(Math.ceil((index * rate) / 10), Math.ceil(((index + 1) * rate) / 10))
  )
  return [samples, ...tenths.filter((tenth) => tenth.length > 0)].flatMap(pair)
}

it.effect.prop("gives the same peaks however the samples are split", [Sound], ([{ cuts, rate, samples }]) =>
  Effect.sync(() => {
    const peaks = new Peaks.Peaks(rate)
    const whole = pcm(samples)
    let at = 0
    for (const cut of cuts) {
      peaks.add(whole.subarray(at, at + cut * 2))
      at = Math.min(whole.length, at + cut * 2)
      if (cut % 4 === 0) peaks.compact()
    }
    peaks.add(whole.subarray(at))
    assert.deepStrictEqual([...new Int8Array(peaks.encode().buffer)], expected(samples, rate))
    assert.strictEqual(peaks.samples, samples.length)
  })
)

it("adds two bytes for each tenth of a second of audio", () => {
  const minute = pcm(Array.from({ length: 60 * 8000 }, (_, index) => ((index * 7919) % 65_536) - 32_768))
  assert.lengthOf(Peaks.peaksOf(minute, 8000), 2 + 600 * 2)
  assert.deepStrictEqual([...new Int8Array(Peaks.peaksOf(minute, 8000).slice(0, 2).buffer)], [-128, 127])
})

it("accepts audio at an odd byte offset", () => {
  const odd = Buffer.concat([Buffer.alloc(1), pcm([-300, 700])]).subarray(1)
  assert.deepStrictEqual([...new Int8Array(Peaks.peaksOf(odd, 8000).buffer)], [-2, 3, -2, 3])
})
