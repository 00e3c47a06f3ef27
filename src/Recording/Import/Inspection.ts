/** Inspects an object: its span from name and metadata, else from its audio. */
import { Effect, Option, Schema, Stream } from "effect"
import { Peaks, type Span } from "../../Audio.ts"
import { type ObjectHead, type ReadError, rereadDamaged, type Storage } from "../../Storage.ts"
import { type Protection } from "../../Encryption.ts"
import { StorageUnavailable } from "../../Storage.ts"
import type { Opus } from "../../Opus.ts"
import * as ChunkDecoder from "../Read/ChunkDecoder.ts"
import type { ImportedChunk, KnownChunk } from "../Catalog/ImportRows.ts"
import * as ObjectName from "../Objects/ObjectName.ts"

const Why = Schema.Literals([
  "not readable in the store",
  "deleted",
  "shorter than its metadata says",
  "not decrypted",
  "not decodable",
  "too large to decode",
  "without audio"
])

export interface Skipped {
  readonly key: string
  readonly why: typeof Why.Type
  readonly reason: string
}

class Unusable extends Schema.TaggedError<Unusable>()("Unusable", {
  key: Schema.String,
  why: Why,
  reason: Schema.String
}) {}

/** Unix seconds of 11 digits, the most that a name has. Positions in samples are exact numbers up to there. */
const maxStart = 99_999_999_999

/** A day at 48 kHz: no writer makes chunks this long. */
const maxSamples = 86_400 * 48_000

/** Metadata as written by `Uploads`. */
const Metadata = Schema.Struct({
  v2_start: Schema.FiniteFromString.check(Schema.isBetween({ minimum: 0, maximum: maxStart })),
  v2_samples: Schema.FiniteFromString.check(Schema.isInt(), Schema.isBetween({ minimum: 1, maximum: maxSamples })),
  v2_sample_rate: Schema.FiniteFromString.check(Schema.isInt(), Schema.isBetween({ minimum: 8_000, maximum: 48_000 }))
})

const spanOf = (head: ObjectHead): Option.Option<Span.Span> =>
  Option.map(Schema.decodeUnknownOption(Metadata)(head.metadata), (span) => ({
    start: span.v2_start,
    samples: span.v2_samples,
    sampleRate: span.v2_sample_rate
  }))

/** Unix second at which the object's audio begins: from its metadata, else from its name. */
export function startOf(head: ObjectHead, name: ObjectName.ObjectName): number {
  return Option.match(spanOf(head), { onNone: () => name.start, onSome: ({ start }) => start })
}

export interface Inspected {
  readonly known?: KnownChunk
  readonly added?: ImportedChunk
  readonly odd?: boolean
  readonly peaks?: Uint8Array | undefined
  readonly skipped?: Skipped
  /** Key of an object that is not named as a chunk. */
  readonly ignored?: string
}

interface Audio {
  readonly bytes: number
  readonly peaks: Uint8Array | undefined
}

const isPlain = ({ codec, isEncrypted }: ObjectName.ObjectName) => codec === "pcm16" && !isEncrypted

/** Peaks of the first `bytes` of a PCM16 stream with pieces of any length. */
const peaksIn = Effect.fnUntraced(function* <E>(pcm: Stream.Stream<Uint8Array, E>, sampleRate: number, bytes: number) {
  const peaks = new Peaks.Peaks(sampleRate)
  let rest: Uint8Array = new Uint8Array(0)
  let left = bytes
  yield* Stream.runForEach(pcm, (piece) =>
    Effect.sync(() => {
      const all = rest.length === 0 ? piece : Buffer.concat([rest, piece])
      const whole = Math.min(left, all.length) & ~1
      peaks.add(all.subarray(0, whole))
      left -= whole
      // At most one byte, half of a sample.
      rest = left > 1 ? all.slice(whole) : new Uint8Array(0)
    })
  )
  return peaks.encode()
})

export interface Options {
  readonly sampleRate: number
  readonly waveforms: boolean
}

/** `bound`: most bytes of an object that is decoded, and of its PCM. */
export function make(
  storage: Storage["Service"],
  protection: Protection["Service"],
  opus: Opus["Service"],
  bound: number
) {
  const decoder = ChunkDecoder.make(protection, opus, bound)

  /** Length of the audio, and its peaks if requested or if the audio is decoded anyway. `samples` comes from metadata. */
  const readAudio = Effect.fnUntraced(
    function* (
      head: ObjectHead,
      name: ObjectName.ObjectName,
      { sampleRate, samples, waveforms }: { sampleRate: number; samples?: number; waveforms: boolean }
    ): Effect.fn.Return<Audio, Unusable | ReadError | ChunkDecoder.Failure> {
      const { key, size } = head
      if (isPlain(name)) {
        const bytes = samples === undefined ? size : samples * 2
        const peaks = waveforms ? yield* peaksIn(storage.get(key), sampleRate, bytes) : undefined
        return { bytes: size, peaks }
      }
      if (size > bound) {
        const reason = `the object has more than ${bound} bytes`
        return yield* new Unusable({ key, why: "too large to decode", reason })
      }
      const stored = yield* Stream.mkUint8Array(storage.get(key))
      const source = { uid: name.uid, key, sampleRate }
      if (name.codec === "opus" && !waveforms)
        return { bytes: yield* decoder.measure(source, stored), peaks: undefined }
      const pcm = yield* Effect.catchTag(decoder.decode(source, stored), "Saturated", (cause) =>
        Effect.fail(new StorageUnavailable({ operation: "decode", bucket: "", key, cause }))
      )
      const heard = pcm.subarray(0, samples === undefined ? pcm.length : samples * 2)
      return { bytes: pcm.length, peaks: Peaks.peaksOf(heard, sampleRate) }
    },
    (effect, { key }) =>
      Effect.catchTags(rereadDamaged(effect), {
        DecryptionFailed: ({ message }) => Effect.fail(new Unusable({ key, why: "not decrypted", reason: message })),
        OpusUndecodable: ({ message }) => Effect.fail(new Unusable({ key, why: "not decodable", reason: message })),
        ObjectDamaged: ({ message }) =>
          Effect.fail(new Unusable({ key, why: "not readable in the store", reason: message })),
        ObjectNotFound: ({ message }) =>
          Effect.fail(new Unusable({ key, why: "not readable in the store", reason: message })),
        StorageRefused: ({ message }) =>
          Effect.fail(new Unusable({ key, why: "not readable in the store", reason: message }))
      })
  )

  const peaksOfSpan = Effect.fnUntraced(function* (
    head: ObjectHead,
    name: ObjectName.ObjectName,
    { sampleRate, samples }: Span.Span,
    waveforms: boolean
  ) {
    const { bytes, peaks } = yield* readAudio(head, name, { sampleRate, samples, waveforms })
    if (bytes >= samples * 2) return peaks
    const reason = `${bytes} bytes of audio, but ${samples * 2} expected from its metadata`
    return yield* new Unusable({ key: head.key, why: "shorter than its metadata says", reason })
  })

  const inspect = Effect.fnUntraced(function* (head: ObjectHead, name: ObjectName.ObjectName, options: Options) {
    const { crc32c, key, size } = head
    const common = { conversation: name.conversation, codec: name.codec, key, bytes: size, crc32c }
    const exact = Option.getOrUndefined(spanOf(head))
    if (exact !== undefined) {
      const isRead = options.waveforms || isPlain(name)
      const peaks = isRead ? yield* peaksOfSpan(head, name, exact, options.waveforms) : undefined
      return { added: { ...common, ...exact, peaks }, odd: isPlain(name) && size % 2 === 1 }
    }
    const { bytes, peaks } = yield* readAudio(head, name, options)
    const samples = Math.floor(bytes / 2)
    if (samples === 0) return yield* new Unusable({ key, why: "without audio", reason: "the object has no audio" })
    return {
      added: { ...common, start: name.start, samples, sampleRate: options.sampleRate, peaks },
      odd: bytes % 2 === 1
    }
  })

  return (
    head: ObjectHead,
    name: ObjectName.ObjectName | undefined,
    known: KnownChunk | undefined,
    options: Options
  ): Effect.Effect<Inspected, StorageUnavailable> =>
    Effect.gen(function* (): Effect.fn.Return<Inspected, Unusable | StorageUnavailable> {
      if (name === undefined) return { ignored: head.key }
      if (known === undefined) return yield* inspect(head, name, options)
      if (!options.waveforms || known.hasPeaks) return { known }
      return { known, peaks: yield* peaksOfSpan(head, name, known, true) }
    }).pipe(Effect.catchTag("Unusable", ({ key, reason, why }) => Effect.succeed({ skipped: { key, why, reason } })))
}
