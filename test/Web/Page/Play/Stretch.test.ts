/** Speech at another speed: its length, its pitch, its course, and nothing that clicks. */
import { assert, it } from "@effect/vitest"
import { Stretch } from "../../../../src/Web/Page/Play/Stretch.ts"
import { random } from "../../../support/Crash.ts"
import { seed as first } from "../../../support/Seed.ts"

const rates = [8_000, 11_025, 16_000, 44_100, 48_000]
const speeds = [0.5, 0.75, 1, 1.25, 1.5, 1.75, 2]

const joined = (pieces: ReadonlyArray<Float32Array>): Float32Array =>
  Float32Array.from(pieces.flatMap((piece) => [...piece]))

/** Pushes `input` in pieces whose lengths are drawn by `next`; `last` is the largest. */
const stretched = (input: Float32Array<ArrayBuffer>, rate: number, speed: number, next = () => 1, last = Infinity) => {
  const stretch = new Stretch(rate, speed)
  const pieces: Array<Float32Array> = []
  for (let at = 0; at < input.length;) {
    const to = Math.min(input.length, at + 1 + Math.floor(next() * Math.min(last, input.length)))
    pieces.push(stretch.push(input.slice(at, to)))
    at = to
  }
  return joined([...pieces, stretch.finish()])
}

const tone = (seconds: number, rate: number, frequency: number) =>
  Float32Array.from(
    { length: Math.round(seconds * rate) },
    (_, index) => 0.7 * Math.sin((2 * Math.PI * frequency * index) / rate)
  )

/** Upward zero crossings a second, between the first and the last. */
const pitchOf = (samples: Float32Array, rate: number): number => {
  const crossings: Array<number> = []
  for (let index = 1; index < samples.length; index++) {
    const [before = 0, after = 0] = [samples[index - 1], samples[index]]
    if (before < 0 && after >= 0) crossings.push(index - after / (after - before))
  }
  return ((crossings.length - 1) * rate) / ((crossings.at(-1) ?? 0) - (crossings[0] ?? 0))
}

const levelOf = (samples: Float32Array): number =>
  Math.sqrt(samples.reduce((sum, sample) => sum + sample * sample, 0) / Math.max(1, samples.length))

const steepest = (samples: Float32Array): number =>
  samples.reduce((most, sample, index) => Math.max(most, Math.abs(sample - (samples[index - 1] ?? 0))), 0)

it("lasts exactly as long as the input divided by the speed, however the input is cut into pieces", () => {
  for (let seed = first; seed < first + 60; seed++) {
    const next = random(seed)
    const rate = rates[seed % rates.length] ?? 0
    const speed = 0.5 + 1.5 * next()
    const input = Float32Array.from({ length: Math.floor(next() * rate * 0.4) }, () => next() * 2 - 1)
    const whole = stretched(input, rate, speed)
    assert.strictEqual(whole.length, Math.round(input.length / speed), `seed ${seed}`)
    assert.deepStrictEqual(stretched(input, rate, speed, next, 1 + 400 * next()), whole, `seed ${seed}`)
  }
})

it("returns the input itself at speed 1, at once", () => {
  const input = tone(0.1, 16_000, 220)
  assert.deepStrictEqual(new Stretch(16_000, 1).push(input), input)
  assert.lengthOf(stretched(input, 16_000, 1), input.length)
})

it("keeps the pitch and the level of a tone, without a click, at every speed and sample rate", () => {
  for (const rate of rates) {
    for (const frequency of [90, 150, 233, 440, 1_000, 2_500]) {
      const input = tone(1.2, rate, frequency)
      for (const speed of speeds) {
        const place = `${frequency} Hz at ${rate} Hz, ${speed} ×`
        const output = stretched(input, rate, speed)
        // The last hop fades into the silence behind the input.
        const inner = output.subarray(0, output.length - Math.ceil(rate * 0.04))
        assert.approximately(pitchOf(inner, rate) / frequency, 1, 0.01, place)
        assert.approximately(levelOf(inner) / levelOf(input), 1, 0.05, place)
        assert.isAtMost(steepest(inner), steepest(input) * 1.1, place)
      }
    }
  }
})

it("keeps every sound at its time divided by the speed", () => {
  const rate = 16_000
  for (const speed of speeds) {
    const input = new Float32Array(rate * 6)
    const begins = [0.5, 1.3, 2.9, 4.4]
    for (const begin of begins) input.set(tone(0.3, rate, 180), Math.round(begin * rate))
    const output = stretched(input, rate, speed)
    for (const begin of begins) {
      const at = (seconds: number) => Math.round((seconds / speed) * rate)
      assert.isBelow(levelOf(output.subarray(at(begin - 0.15), at(begin - 0.03))), 0.001, `${begin} s, ${speed} ×`)
      assert.isAbove(levelOf(output.subarray(at(begin + 0.05), at(begin + 0.25))), 0.4, `${begin} s, ${speed} ×`)
    }
  }
})
