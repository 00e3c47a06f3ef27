/** Decodes a stored object to PCM16 by the format in its name. */
import { Effect } from "effect"
import { OpusContainer, OpusPacket } from "../../Audio.ts"
import type { DecryptionFailed, Protection } from "../../Encryption.ts"
import { type Opus, OpusUndecodable } from "../../Opus.ts"
import { StorageUnavailable } from "../../Storage.ts"
import * as ObjectName from "../Objects/ObjectName.ts"

interface Source {
  readonly uid: string
  readonly key: string
  readonly sampleRate: number
}

/** A failure of the codec is not the audio's, which would be remembered as damaged. */
export function decodePackets(
  opus: Opus["Service"],
  { key, sampleRate, uid }: Source,
  packets: ReadonlyArray<Uint8Array>,
  samples: number
) {
  return Effect.catchTag(opus.decode(uid, packets, sampleRate, samples), "CodecFailed", (cause) =>
    Effect.fail(new StorageUnavailable({ operation: "decode", bucket: "", key, cause }))
  )
}

export type Failure = DecryptionFailed | OpusUndecodable

/** `bound`: most bytes of decoded PCM. */
export function make(protection: Protection["Service"], opus: Opus["Service"], bound: number) {
  const decrypt = (source: Source, stored: Uint8Array) =>
    ObjectName.formatOf(source.key)?.isEncrypted === true
      ? protection.decrypt(source.uid, stored)
      : Effect.succeed(stored)

  const parse = Effect.fnUntraced(function* (source: Source, bytes: Uint8Array) {
    if (!OpusPacket.sampleRates.includes(source.sampleRate))
      return yield* new OpusUndecodable({ reason: `Opus has no sample rate of ${source.sampleRate} Hz` })
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
      return yield* decodePackets(opus, source, container.packets, samples)
    }),
    packets: Effect.fnUntraced(function* (source: Source, stored: Uint8Array) {
      return (yield* parse(source, yield* decrypt(source, stored))).packets
    }),
    /** Length as PCM16, in bytes. */
    measure: Effect.fnUntraced(function* (source: Source, stored: Uint8Array) {
      const bytes = yield* decrypt(source, stored)
      if (!isOpus(source)) return bytes.length
      return OpusContainer.samples(yield* parse(source, bytes), source.sampleRate) * 2
    })
  }
}
