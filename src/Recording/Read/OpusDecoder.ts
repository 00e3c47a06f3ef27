/** Decodes Opus packets to PCM16 with libopus compiled to WebAssembly. */
import { Effect, Schema } from "effect"

/** Invalid Opus, or a sample rate that Opus does not support. */
export class NotOpus extends Schema.TaggedError<NotOpus>()("NotOpus", { reason: Schema.String }) {
  override get message() {
    return this.reason
  }
}

export const sampleRates = [8_000, 12_000, 16_000, 24_000, 48_000] as const

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

/** Returns mono audio of at most `samples` samples. */
export const decode = Effect.fn("OpusDecoder.decode")(function* (
  packets: ReadonlyArray<Uint8Array>,
  sampleRate: number,
  samples: number
) {
  const rate = sampleRates.find((rate) => rate === sampleRate)
  if (rate === undefined) return yield* new NotOpus({ reason: `Opus has no sample rate of ${sampleRate} Hz` })
  const decoder = yield* Effect.acquireRelease(open(rate), (decoder) => Effect.sync(() => decoder.free()))
  const pcm = Buffer.alloc(samples * 2)
  let filled = 0
  for (let from = 0; from < packets.length; from += packetsAtOnce) {
    const { channelData, errors } = decoder.decodeFrames(packets.slice(from, from + packetsAtOnce))
    const [error] = errors
    if (error !== undefined) return yield* new NotOpus({ reason: error.message })
    filled = write(pcm, filled, channelData[0] ?? new Float32Array(0))
    yield* Effect.yieldNow
  }
  return pcm.subarray(0, filled)
}, Effect.scoped)
