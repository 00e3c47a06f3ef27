/** Opus becomes PCM. */
import { assert, layer } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { BulkheadConfig } from "../src/Bulkhead.ts"
import { Opus } from "../src/Opus.ts"
import { packets, samples, sampleRate, toneShare } from "./Recording/support/OpusTone.ts"

const decode = (...[of, rate, most]: [ReadonlyArray<Uint8Array>, number, number]) =>
  Effect.map(
    Opus.use(({ decode }) => decode("ada", of, rate, most)),
    (pcm) => Buffer.from(pcm)
  )

/** A silent packet of one CELT frame: 2.5, 5, 10 or 20 ms by `size`. */
const silent = (size: number) => Buffer.from([(28 + size) << 3, 0xff, 0xfe])

layer(Opus.layer.pipe(Layer.provide(BulkheadConfig.layer)))("Opus", (it) => {
  it.effect("decodes a tone to the same tone with the same length", () =>
    Effect.gen(function* () {
      const pcm = yield* decode(packets, sampleRate, samples)
      assert.strictEqual(pcm.length, samples * 2)
      assert.isAbove(toneShare(pcm, 1_000, 7_000), 0.95)
      assert.isAbove(Math.max(...new Int16Array(pcm.buffer, pcm.byteOffset, samples)), 6_000)
    })
  )

  it.effect("decodes no more than requested, and the same each time", () =>
    Effect.gen(function* () {
      const whole = yield* decode(packets, sampleRate, samples)
      const part = yield* decode(packets, sampleRate, 1_001)
      assert.isTrue(part.equals(whole.subarray(0, 2_002)))
      const long = yield* decode([...packets, ...packets, ...packets], sampleRate, samples * 4)
      assert.strictEqual(long.length, samples * 6)
      assert.isTrue(long.subarray(0, samples * 2).equals(whole))
    })
  )

  it.effect("decodes packets of all durations, at all sample rates", () =>
    Effect.gen(function* () {
      const durations = [2.5, 5, 10, 20]
      for (const rate of [8_000, 12_000, 16_000, 24_000, 48_000]) {
        const pcm = yield* decode([0, 1, 2, 3].map(silent), rate, rate)
        assert.strictEqual(pcm.length, (durations.reduce((sum, each) => sum + each, 0) * rate * 2) / 1_000)
      }
      const sixty = Buffer.from([(11 << 3) | 0, 0xff, 0xfe])
      assert.strictEqual((yield* decode([sixty, silent(0)], sampleRate, sampleRate)).length, (60 + 2.5) * 16 * 2)
    })
  )

  it.effect("fails at a packet that is not Opus, and at an unsupported rate", () =>
    Effect.gen(function* () {
      const broken = [...packets.slice(0, 3), Buffer.from([0xff, 0xff, 0xff])]
      const failure = yield* Effect.flip(decode(broken, sampleRate, samples))
      assert.strictEqual(failure._tag, "OpusUndecodable")
      assert.strictEqual((yield* decode(packets, sampleRate, samples)).length, samples * 2)
      assert.include(String(yield* Effect.flip(decode(packets, 44_100, samples))), "44100")
    })
  )
})
