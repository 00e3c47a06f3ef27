/** Decodes Opus with libopus, in threads, so that the event loop goes on to take audio. */
import { Context, Effect, Layer, Schema } from "effect"
import type { Saturated } from "./Bulkhead.ts"
import * as CodecThreads from "./Opus/CodecThreads.ts"
import type { CodecFailed } from "./Opus/CodecThreads.ts"

export { CodecFailed } from "./Opus/CodecThreads.ts"

/** Invalid Opus, or a sample rate that Opus does not support. */
export class OpusUndecodable extends Schema.TaggedError<OpusUndecodable>()("OpusUndecodable", {
  reason: Schema.String
}) {
  override get message() {
    return this.reason
  }
}

const sampleRates = [8_000, 12_000, 16_000, 24_000, 48_000]

export function isSampleRate(hertz: number): boolean {
  return sampleRates.includes(hertz)
}

export class Opus extends Context.Service<
  Opus,
  {
    /** The packets, of any durations, as mono PCM16 of at most `samples` samples. The caller bounds both. */
    decode(
      uid: string,
      packets: ReadonlyArray<Uint8Array>,
      sampleRate: number,
      samples: number
    ): Effect.Effect<Uint8Array, OpusUndecodable | CodecFailed | Saturated>
  }
>()("spillway/Opus") {
  static readonly layer = Layer.effect(
    Opus,
    Effect.suspend(() => make)
  )
}

const make = Effect.gen(function* () {
  const threads = yield* CodecThreads.make()
  return Opus.of({
    decode: Effect.fnUntraced(function* (uid, packets, sampleRate, samples) {
      if (!isSampleRate(sampleRate))
        return yield* new OpusUndecodable({ reason: `Opus has no sample rate of ${sampleRate} Hz` })
      const joined = new Uint8Array(packets.reduce((sum, { length }) => sum + length, 0))
      const lengths = Uint16Array.from(packets, ({ length }) => length)
      let at = 0
      for (const packet of packets) {
        joined.set(packet, at)
        at += packet.length
      }
      const { bytes, rejected } = yield* threads.run(uid, {
        operation: "decode",
        request: { packets: joined, lengths, sampleRate, samples },
        transfer: [joined.buffer, lengths.buffer],
        audioSeconds: samples / sampleRate
      })
      return bytes ?? (yield* new OpusUndecodable({ reason: rejected ?? "no audio" }))
    })
  })
})
