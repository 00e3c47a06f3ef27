/** Opus becomes PCM. */
import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import * as ChunkDecoder from "../../../src/Recording/Read/ChunkDecoder.ts"
import { packets, samples, sampleRate, toneShare } from "../support/OpusTone.ts"

it.effect("decodes a tone to the same tone with the same length", () =>
  Effect.gen(function* () {
    const pcm = yield* ChunkDecoder.decodeOpus(packets, sampleRate, samples)
    assert.strictEqual(pcm.length, samples * 2)
    assert.isAbove(toneShare(pcm, 1_000, 7_000), 0.95)
    assert.isAbove(Math.max(...new Int16Array(pcm.buffer, pcm.byteOffset, samples)), 6_000)
  })
)

it.effect("decodes no more than requested, and the same each time", () =>
  Effect.gen(function* () {
    const whole = yield* ChunkDecoder.decodeOpus(packets, sampleRate, samples)
    const part = yield* ChunkDecoder.decodeOpus(packets, sampleRate, 1_001)
    assert.isTrue(part.equals(whole.subarray(0, 2_002)))
    const long = yield* ChunkDecoder.decodeOpus([...packets, ...packets, ...packets], sampleRate, samples * 4)
    assert.strictEqual(long.length, samples * 6)
    assert.isTrue(long.subarray(0, samples * 2).equals(whole))
  })
)

it.effect("fails at a packet that is not Opus, and at an unsupported rate", () =>
  Effect.gen(function* () {
    const broken = [...packets.slice(0, 3), Buffer.from([0xff, 0xff, 0xff])]
    const failure = yield* Effect.flip(ChunkDecoder.decodeOpus(broken, sampleRate, samples))
    assert.strictEqual(failure._tag, "OpusUndecodable")
    assert.include((yield* Effect.flip(ChunkDecoder.decodeOpus(packets, 44_100, samples))).message, "44100")
  })
)
