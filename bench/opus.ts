/** Opus in a codec thread: how many times faster than real time it encodes and decodes, in processor time of one core. */
import { Effect, Layer } from "effect"
import { OggOpus } from "../src/Audio.ts"
import { BulkheadConfig } from "../src/Bulkhead.ts"
import { encodedFrom, Opus } from "../src/Opus.ts"
import { voice } from "../test/support/OggFiles.ts"

const packetsPerSecond = 50

const cpuSeconds = () => {
  const { system, user } = process.cpuUsage()
  return (system + user) / 1e6
}

/** Encodes and decodes the voice; returns seconds of audio for each second of processor time. */
const measure = Effect.fnUntraced(function* (sampleRate: number, seconds: number) {
  const { decode, encode } = yield* Opus
  const blocks = (seconds * packetsPerSecond) / OggOpus.packetsOfBlock
  let [encoding, decoding] = [0, 0]
  for (let block = 0; block < blocks; block++) {
    const first = block * OggOpus.packetsOfBlock
    const { end, start } = encodedFrom(sampleRate, first, OggOpus.packetsOfBlock)
    const pcm = Uint8Array.from(voice(start, end - start, sampleRate))
    const begun = cpuSeconds()
    const encoded = yield* encode("bench", pcm, sampleRate, first, OggOpus.packetsOfBlock)
    const encodedAt = cpuSeconds()
    const packets = Array.from({ length: OggOpus.packetsOfBlock }, (_, index) =>
      encoded.subarray(index * OggOpus.packetBytes, (index + 1) * OggOpus.packetBytes)
    )
    yield* decode("bench", packets, 16_000, (16_000 * packets.length) / packetsPerSecond)
    encoding += encodedAt - begun
    decoding += cpuSeconds() - encodedAt
  }
  return { encode: Math.round(seconds / encoding), decode: Math.round(seconds / decoding) }
})

export const run = async (args: ReadonlyArray<string>): Promise<void> => {
  const seconds = args.includes("--quick") ? 60 : 600
  const program = Effect.gen(function* () {
    // The first blocks are compiled while they run.
    yield* measure(16_000, 20)
    const [at16k, at44k] = [yield* measure(16_000, seconds), yield* measure(44_100, seconds)]
    console.log(`16 kHz: encodes ${at16k.encode} x and decodes ${at16k.decode} x real time on one core`)
    console.log(`44.1 kHz, resampled: encodes ${at44k.encode} x real time`)
    const figures = { encodeX: at16k.encode, decodeX: at16k.decode, encode44kX: at44k.encode }
    console.log(JSON.stringify({ bench: "opus", ...figures }))
  })
  await Effect.runPromise(Effect.scoped(Effect.provide(program, Opus.layer.pipe(Layer.provide(BulkheadConfig.layer)))))
}
