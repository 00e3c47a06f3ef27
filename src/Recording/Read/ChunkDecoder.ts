/** Decodes a stored object to PCM16 by the format in its name. */
import { Effect, Semaphore } from "effect"
import { OpusContainer } from "../../Audio.ts"
import type { NotSealed, Protection } from "../../Encryption.ts"
import * as ObjectName from "../Catalog/ObjectName.ts"
import * as OpusDecoder from "./OpusDecoder.ts"

interface Source {
  readonly uid: string
  readonly key: string
  readonly sampleRate: number
}

export type Failure = NotSealed | OpusDecoder.NotOpus

/** `bound`: most bytes of decoded PCM. */
export function make(protection: Protection["Service"], bound: number) {
  // Sequential: decoding shares one thread, and concurrent decoders would only use more memory.
  const alone = Semaphore.makeUnsafe(1)

  const unseal = (source: Source, stored: Uint8Array) =>
    ObjectName.formatOf(source.key)?.sealed === true ? protection.open(source.uid, stored) : Effect.succeed(stored)

  const parse = Effect.fnUntraced(function* (source: Source, bytes: Uint8Array) {
    if (!OpusDecoder.sampleRates.some((rate) => rate === source.sampleRate)) {
      return yield* new OpusDecoder.NotOpus({ reason: `Opus has no sample rate of ${source.sampleRate} Hz` })
    }
    const container = yield* Effect.mapError(
      Effect.fromResult(OpusContainer.parse(bytes)),
      (reason) => new OpusDecoder.NotOpus({ reason })
    )
    if (OpusContainer.decodedSamples(container, source.sampleRate) * 2 <= bound) return container
    return yield* new OpusDecoder.NotOpus({ reason: `it decodes to more than ${bound} bytes` })
  })

  const isOpus = ({ key }: Source) => ObjectName.formatOf(key)?.codec === "opus"

  return {
    decode: Effect.fnUntraced(function* (source: Source, stored: Uint8Array) {
      const bytes = yield* unseal(source, stored)
      if (!isOpus(source)) return bytes
      const container = yield* parse(source, bytes)
      const samples = OpusContainer.samples(container, source.sampleRate)
      return yield* alone.withPermit(OpusDecoder.decode(container.packets, source.sampleRate, samples))
    }),
    /** Length as PCM16, in bytes. */
    measure: Effect.fnUntraced(function* (source: Source, stored: Uint8Array) {
      const bytes = yield* unseal(source, stored)
      if (!isOpus(source)) return bytes.length
      return OpusContainer.samples(yield* parse(source, bytes), source.sampleRate) * 2
    })
  }
}
