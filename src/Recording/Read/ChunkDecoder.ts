/** Decodes a stored object to PCM16 by the format in its name; Opus with libopus compiled to WebAssembly. */
import { Effect, Schema, Semaphore } from "effect"
import { OpusContainer } from "../../Audio.ts"
import type { DecryptionFailed, Protection } from "../../Encryption.ts"
import * as ObjectName from "../Objects/ObjectName.ts"

/** Invalid Opus, a sample rate that Opus does not support, or more audio than the bound. */
export class OpusUndecodable extends Schema.TaggedError<OpusUndecodable>()("OpusUndecodable", {
  reason: Schema.String
}) {
  override get message() {
    return this.reason
  }
}

const sampleRates = [8_000, 12_000, 16_000, 24_000, 48_000] as const

/** Packets decoded between yields: a second of audio, some milliseconds of work. */
const packetsAtOnce = 50

const load = Effect.promise(() => import("opus-decoder"))

const open = (sampleRate: (typeof sampleRates)[number]) =>
  Effect.flatMap(load, ({ OpusDecoder }) =>
    Effect.promise(() => {
      const decoder = new OpusDecoder({ sampleRate, channels: 1 })
      return decoder.ready.then(() => decoder)
    })
  )

const write = (pcm: Buffer, at: number, samples: Float32Array): number => {
  let position = at
  for (const sample of samples) {
    if (position + 2 > pcm.length) break
    position = pcm.writeInt16LE(Math.max(-32_768, Math.min(32_767, Math.round(sample * 32_768))), position)
  }
  return position
}

/** Decodes Opus packets to mono PCM16 of at most `samples` samples. */
export const decodeOpus = Effect.fn("ChunkDecoder.decodeOpus")(function* (
  packets: ReadonlyArray<Uint8Array>,
  sampleRate: number,
  samples: number
) {
  const rate = sampleRates.find((rate) => rate === sampleRate)
  if (rate === undefined) return yield* new OpusUndecodable({ reason: `Opus has no sample rate of ${sampleRate} Hz` })
  const decoder = yield* Effect.acquireRelease(open(rate), (decoder) => Effect.sync(() => decoder.free()))
  const pcm = Buffer.alloc(samples * 2)
  let filled = 0
  for (let from = 0; from < packets.length; from += packetsAtOnce) {
    const { channelData, errors } = decoder.decodeFrames(packets.slice(from, from + packetsAtOnce))
    const [error] = errors
    if (error !== undefined) return yield* new OpusUndecodable({ reason: error.message })
    filled = write(pcm, filled, channelData[0] ?? new Float32Array(0))
    yield* Effect.yieldNow
  }
  return pcm.subarray(0, filled)
}, Effect.scoped)

interface Source {
  readonly uid: string
  readonly key: string
  readonly sampleRate: number
}

export type Failure = DecryptionFailed | OpusUndecodable

/** `bound`: most bytes of decoded PCM. */
export function make(protection: Protection["Service"], bound: number) {
  // Decoding shares one thread, so concurrent decoders would only use more memory.
  const oneAtATime = Semaphore.makeUnsafe(1)

  const decrypt = (source: Source, stored: Uint8Array) =>
    ObjectName.formatOf(source.key)?.isEncrypted === true
      ? protection.decrypt(source.uid, stored)
      : Effect.succeed(stored)

  const parse = Effect.fnUntraced(function* (source: Source, bytes: Uint8Array) {
    if (!sampleRates.some((rate) => rate === source.sampleRate)) {
      return yield* new OpusUndecodable({ reason: `Opus has no sample rate of ${source.sampleRate} Hz` })
    }
    const container = yield* Effect.mapError(
      Effect.fromResult(OpusContainer.parse(bytes)),
      (reason) => new OpusUndecodable({ reason })
    )
    if (OpusContainer.decodedSamples(container, source.sampleRate) * 2 <= bound) return container
    return yield* new OpusUndecodable({ reason: `it decodes to more than ${bound} bytes` })
  })

  const isOpus = ({ key }: Source) => ObjectName.formatOf(key)?.codec === "opus"

  return {
    decode: Effect.fnUntraced(function* (source: Source, stored: Uint8Array) {
      const bytes = yield* decrypt(source, stored)
      if (!isOpus(source)) return bytes
      const container = yield* parse(source, bytes)
      const samples = OpusContainer.samples(container, source.sampleRate)
      return yield* oneAtATime.withPermit(decodeOpus(container.packets, source.sampleRate, samples))
    }),
    /** Length as PCM16, in bytes. */
    measure: Effect.fnUntraced(function* (source: Source, stored: Uint8Array) {
      const bytes = yield* decrypt(source, stored)
      if (!isOpus(source)) return bytes.length
      return OpusContainer.samples(yield* parse(source, bytes), source.sampleRate) * 2
    })
  }
}
