/** What an object of the store is as a chunk: from its name and metadata, and from its audio where those do not tell. */
import { Effect, Option, Schema, Stream } from "effect"
import { Peaks, type Span } from "../../Audio.ts"
import { type ObjectHead, type ReadError, rereadDamaged, type Storage } from "../../Storage.ts"
import { type Protection } from "../../Encryption.ts"
import type { StorageUnavailable } from "../../Storage.ts"
import * as ChunkDecoder from "../Read/ChunkDecoder.ts"
import type { ImportedChunk, KnownChunk } from "../Catalog/ImportRows.ts"
import * as ObjectName from "../Catalog/ObjectName.ts"

const Why = Schema.Literals([
  "not given by the store",
  "shorter than its metadata says",
  "not decrypted",
  "not Opus",
  "too large to decode",
  "without audio"
])

export interface Skipped {
  readonly key: string
  /** One of a few. */
  readonly why: typeof Why.Type
  readonly reason: string
}

/** The audio of a chunk can't be had. */
class Unusable extends Schema.TaggedError<Unusable>()("Unusable", {
  key: Schema.String,
  why: Why,
  reason: Schema.String
}) {}

/** As `Uploads` writes it. */
const Metadata = Schema.Struct({
  v2_start: Schema.FiniteFromString.check(Schema.isGreaterThanOrEqualTo(0)),
  v2_samples: Schema.FiniteFromString.check(Schema.isInt(), Schema.isGreaterThan(0)),
  v2_sample_rate: Schema.FiniteFromString.check(Schema.isInt(), Schema.isBetween({ minimum: 8_000, maximum: 48_000 }))
})

const spanOf = (head: ObjectHead): Option.Option<Span.Span> =>
  Option.map(Schema.decodeUnknownOption(Metadata)(head.metadata), (span) => ({
    start: span.v2_start,
    samples: span.v2_samples,
    sampleRate: span.v2_sample_rate
  }))

/** What was made of an object. */
export interface Look {
  readonly known?: KnownChunk
  readonly added?: ImportedChunk
  readonly odd?: boolean
  readonly peaks?: Uint8Array | undefined
  readonly skipped?: Skipped
  /** Its name is not that of a chunk. */
  readonly ignored?: string
}

interface Heard {
  /** Of PCM16. */
  readonly bytes: number
  readonly peaks: Uint8Array | undefined
}

const isPlain = ({ codec, sealed }: ObjectName.ObjectName) => codec === "pcm16" && !sealed

/** Peaks of a stream of PCM16, in pieces of any length, of its first `bytes`. */
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
      // One byte at most: what is left is more than what came.
      rest = left > 1 ? all.slice(whole) : new Uint8Array(0)
    })
  )
  return peaks.encode()
})

export interface Options {
  /** Taken where no metadata tells it. */
  readonly sampleRate: number
  /** Whether to read what has no peaks yet. */
  readonly waveforms: boolean
}

/** `bound`: bytes of an object that is decoded, and of what it decodes to. */
export function make(storage: Storage["Service"], protection: Protection["Service"], bound: number) {
  const decoder = ChunkDecoder.make(protection, bound)

  /** The length of the audio, and its peaks if it is read anyway or they are asked for. `samples` is known of some. */
  const hear = Effect.fnUntraced(
    function* (
      head: ObjectHead,
      name: ObjectName.ObjectName,
      { sampleRate, samples, waveforms }: { sampleRate: number; samples?: number; waveforms: boolean }
    ): Effect.fn.Return<Heard, Unusable | ReadError | ChunkDecoder.Failure> {
      const { key, size } = head
      if (isPlain(name)) {
        const bytes = samples === undefined ? size : samples * 2
        const peaks = waveforms ? yield* peaksIn(storage.get(key), sampleRate, bytes) : undefined
        return { bytes: size, peaks }
      }
      if (size > bound) {
        const reason = `it has more than ${bound} bytes`
        return yield* new Unusable({ key, why: "too large to decode", reason })
      }
      const stored = yield* Stream.mkUint8Array(storage.get(key))
      const source = { uid: name.uid, key, sampleRate }
      if (name.codec === "opus" && !waveforms)
        return { bytes: yield* decoder.measure(source, stored), peaks: undefined }
      const pcm = yield* decoder.decode(source, stored)
      const heard = pcm.subarray(0, samples === undefined ? pcm.length : samples * 2)
      return { bytes: pcm.length, peaks: Peaks.peaksOf(heard, sampleRate) }
    },
    (effect, { key }) =>
      Effect.catchTags(rereadDamaged(effect), {
        NotSealed: ({ message }) => Effect.fail(new Unusable({ key, why: "not decrypted", reason: message })),
        NotOpus: ({ message }) => Effect.fail(new Unusable({ key, why: "not Opus", reason: message })),
        ObjectDamaged: ({ message }) =>
          Effect.fail(new Unusable({ key, why: "not given by the store", reason: message })),
        ObjectNotFound: ({ message }) =>
          Effect.fail(new Unusable({ key, why: "not given by the store", reason: message })),
        StorageRefused: ({ message }) =>
          Effect.fail(new Unusable({ key, why: "not given by the store", reason: message }))
      })
  )

  const peaksOfSpan = Effect.fnUntraced(function* (
    head: ObjectHead,
    name: ObjectName.ObjectName,
    { sampleRate, samples }: Span.Span,
    waveforms: boolean
  ) {
    const { bytes, peaks } = yield* hear(head, name, { sampleRate, samples, waveforms })
    if (bytes >= samples * 2) return peaks
    const reason = `it has ${bytes} bytes for ${samples} samples`
    return yield* new Unusable({ key: head.key, why: "shorter than its metadata says", reason })
  })

  /** What is not known yet. */
  const inspect = Effect.fnUntraced(function* (head: ObjectHead, name: ObjectName.ObjectName, options: Options) {
    const { crc32c, key, size } = head
    const common = { conversation: name.conversation, codec: name.codec, key, bytes: size, crc32c }
    const exact = Option.getOrUndefined(spanOf(head))
    if (exact !== undefined) {
      const isRead = options.waveforms || isPlain(name)
      const peaks = isRead ? yield* peaksOfSpan(head, name, exact, options.waveforms) : undefined
      return { added: { ...common, ...exact, peaks }, odd: isPlain(name) && size % 2 === 1 }
    }
    const { bytes, peaks } = yield* hear(head, name, options)
    const samples = Math.floor(bytes / 2)
    if (samples === 0) return yield* new Unusable({ key, why: "without audio", reason: "it holds no audio" })
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
  ): Effect.Effect<Look, StorageUnavailable> =>
    Effect.gen(function* (): Effect.fn.Return<Look, Unusable | StorageUnavailable> {
      if (name === undefined) return { ignored: head.key }
      if (known === undefined) return yield* inspect(head, name, options)
      if (!options.waveforms || known.hasPeaks) return { known }
      return { known, peaks: yield* peaksOfSpan(head, name, known, true) }
    }).pipe(Effect.catchTag("Unusable", ({ key, reason, why }) => Effect.succeed({ skipped: { key, why, reason } })))
}
