/** Decodes and encodes Opus with libopus, in threads, so that the event loop goes on to take audio. */
import { Context, Effect, Layer, Schema } from "effect"
import { OpusPacket } from "./Audio.ts"
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

const bitrate = 32_000

const packetsPerSecond = 50

/** Packets that are encoded before the wanted ones, so that the encoder's filters have settled: 200 ms. */
const leadPackets = 10

/** Input samples around a position; resampling reads 16. */
const margin = 32

const codecRateOf = (sampleRate: number): number => OpusPacket.sampleRates.find((rate) => rate >= sampleRate) ?? 48_000

/**
 * The samples from which packets are encoded. Those before and behind the file are zero. Packet 0 begins with sample 0; the
 * decoder returns it 2.5 ms later.
 */
export function encodedFrom(sampleRate: number, packet: number, count: number) {
  const codecRate = codecRateOf(sampleRate)
  const at = (packet: number) => (packet * codecRate) / packetsPerSecond
  const [from, to] = [at(packet - leadPackets), at(packet + count)]
  if (codecRate === sampleRate) return { start: from, end: to }
  return {
    start: Math.floor((from * sampleRate) / codecRate) - margin,
    end: Math.ceil((to * sampleRate) / codecRate) + margin
  }
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
    /**
     * `count` packets of 20 ms and 80 bytes, one after another. They depend only on the samples. `pcm`: the PCM16 that
     * `encodedFrom` says; its buffer is detached.
     */
    encode(
      uid: string,
      pcm: Uint8Array<ArrayBuffer>,
      sampleRate: number,
      packet: number,
      count: number
    ): Effect.Effect<Uint8Array, CodecFailed | Saturated>
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
      if (!OpusPacket.sampleRates.includes(sampleRate))
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
    }),
    encode: (uid, pcm, sampleRate, packet, count) => {
      const codecRate = codecRateOf(sampleRate)
      const start = ((packet - leadPackets) * codecRate) / packetsPerSecond
      const samples = new Int16Array(pcm.buffer, pcm.byteOffset, pcm.length / 2)
      const origin = encodedFrom(sampleRate, packet, count).start
      const job = threads.run(uid, {
        operation: "encode",
        request: { pcm: samples, origin, sampleRate, codecRate, start, lead: leadPackets, packets: count, bitrate },
        transfer: [pcm.buffer],
        audioSeconds: count / packetsPerSecond
      })
      return Effect.map(job, ({ bytes }) => bytes ?? new Uint8Array(0))
    }
  })
})
