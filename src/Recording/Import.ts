/**
 * Indexes chunks that are in the store and not in the database, without copying them: exact spans from their metadata,
 * else the start of their name and the length of what they decode to. Doing it again changes nothing, and looks at
 * nothing that it knows.
 */
import { Context, Effect, Layer, Option, Schema, Stream } from "effect"
import { Peaks, type Span } from "../Audio.ts"
import type { DbError } from "../Db.ts"
import {
  type ObjectHead,
  type ObjectNotFound,
  Protection,
  Storage,
  StorageRefused,
  type StorageUnavailable
} from "../Storage.ts"
import * as ChunkDecoder from "./ChunkDecoder.ts"
import { type ImportedChunk, ImportRows, type KnownChunk } from "./ImportRows.ts"
import * as ObjectName from "./ObjectName.ts"
import { RecordingConfig } from "./RecordingConfig.ts"

const Why = Schema.Literals([
  "not named as a chunk",
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

export interface Imported {
  /** New in the database. */
  readonly added: number
  /** There before. */
  readonly known: number
  /** New chunks of an odd number of bytes, the last of which is not heard. */
  readonly odd: number
  /** Of the added and the known, those that have no peaks: their waveform is empty. */
  readonly undrawn: number
  /** Objects that are no chunks, or whose audio can't be had. */
  readonly skipped: ReadonlyArray<Skipped>
  /** For `after`, to go on. */
  readonly next: Option.Option<string>
}

export class Import extends Context.Service<
  Import,
  {
    /**
     * One page of what the store has of a user. `sampleRate` is taken where no metadata tells it. With `waveforms` all
     * audio is read whose peaks are not known, also of chunks that are; otherwise only what has to be.
     */
    page(
      uid: string,
      options: { readonly after: string; readonly sampleRate: number; readonly waveforms: boolean }
    ): Effect.Effect<Imported, StorageUnavailable | StorageRefused | DbError>
  }
>()("spillway/Recording/Import") {
  static readonly layerNoDeps = Layer.effect(
    Import,
    Effect.suspend(() => make)
  )
  static readonly layer = this.layerNoDeps.pipe(Layer.provide(ImportRows.layer))
}

/** Objects of a page: fewer when all of them are read, so that what was done is kept every now and then. */
const pageSize = { named: 1_000, read: 100 }

/** The object is no chunk, or its audio can't be had. */
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
interface Look {
  readonly known?: KnownChunk
  readonly added?: ImportedChunk
  readonly odd?: boolean
  readonly peaks?: Uint8Array | undefined
  readonly skipped?: Skipped
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
      rest = all.slice(whole, Math.min(left, all.length))
    })
  )
  return peaks.encode()
})

const make = Effect.gen(function* () {
  const config = yield* RecordingConfig
  const storage = yield* Storage
  const rows = yield* ImportRows
  const decoder = ChunkDecoder.make(yield* Protection, config.decodedBytes)

  /** The length of the audio, and its peaks if it is read anyway or they are asked for. `samples` is known of some. */
  const hear = Effect.fnUntraced(
    function* (
      head: ObjectHead,
      name: ObjectName.ObjectName,
      { sampleRate, samples, waveforms }: { sampleRate: number; samples?: number; waveforms: boolean }
    ): Effect.fn.Return<Heard, Unusable | StorageUnavailable | StorageRefused | ChunkDecoder.Failure | ObjectNotFound> {
      const { key, size } = head
      if (isPlain(name)) {
        const bytes = samples === undefined ? size : samples * 2
        const peaks = waveforms ? yield* peaksIn(storage.get(key), sampleRate, bytes) : undefined
        return { bytes: size, peaks }
      }
      if (size > config.decodedBytes) {
        const reason = `it has more than ${config.decodedBytes} bytes`
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
      Effect.catchTags(effect, {
        NotSealed: ({ message }) => Effect.fail(new Unusable({ key, why: "not decrypted", reason: message })),
        NotOpus: ({ message }) => Effect.fail(new Unusable({ key, why: "not Opus", reason: message })),
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
  const inspect = Effect.fnUntraced(function* (
    head: ObjectHead,
    name: ObjectName.ObjectName,
    options: { sampleRate: number; waveforms: boolean }
  ) {
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

  const look = (
    head: ObjectHead,
    name: ObjectName.ObjectName | undefined,
    known: KnownChunk | undefined,
    options: { sampleRate: number; waveforms: boolean }
  ): Effect.Effect<Look, StorageUnavailable> =>
    Effect.gen(function* (): Effect.fn.Return<Look, Unusable | StorageUnavailable> {
      const { key } = head
      if (name === undefined) {
        const reason = "its name is not that of a chunk"
        return yield* new Unusable({ key, why: "not named as a chunk", reason })
      }
      if (known === undefined) return yield* inspect(head, name, options)
      if (!options.waveforms || known.isDrawn) return { known }
      return { known, peaks: yield* peaksOfSpan(head, name, known, true) }
    }).pipe(Effect.catchTag("Unusable", ({ key, reason, why }) => Effect.succeed({ skipped: { key, why, reason } })))

  /** A store may refuse to list an object that is damaged: then the ones before it are listed alone, and it is skipped. */
  const list = Effect.fnUntraced(function* (prefix: string, after: string, limit: number) {
    const page = (limit: number) => Effect.result(storage.list(prefix, { after, limit }))
    const many = yield* page(limit)
    const found = many._tag === "Failure" && many.failure._tag === "StorageRefused" ? yield* page(1) : many
    if (found._tag === "Success") return { ...found.success, damaged: [] }
    const { failure } = found
    const isObject = failure._tag === "StorageRefused" && failure.key.startsWith(prefix) && failure.key !== prefix
    if (!isObject) return yield* failure
    const damaged = [{ key: failure.key, why: "not given by the store" as const, reason: failure.reason }]
    return { objects: [], next: failure.key, damaged }
  })

  return Import.of({
    page: Effect.fn("Import.page")(function* (uid, { after, ...options }) {
      const limit = options.waveforms ? pageSize.read : pageSize.named
      const { damaged, next, objects } = yield* list(ObjectName.prefixOf(uid), after, limit)
      const named = objects.map((head) => ({
        head,
        name: Option.getOrUndefined(Option.filter(ObjectName.parse(head.key), (name) => name.uid === uid))
      }))
      const knownRows = yield* rows.known(
        uid,
        named.flatMap(({ head, name }) => (name === undefined ? [] : [{ key: head.key, ...name }]))
      )
      const looks = yield* Effect.forEach(
        named,
        ({ head, name }) => look(head, name, knownRows.get(head.key), options),
        { concurrency: config.importWindow }
      )
      const fresh = looks.flatMap(({ added }) => (added === undefined ? [] : [added]))
      const known = looks.flatMap(({ known, peaks }) => (known === undefined ? [] : [{ ...known, peaks }]))
      const added = yield* rows.insert(uid, fresh)
      yield* rows.draw(uid, known)
      return {
        added,
        known: known.length + fresh.length - added,
        odd: looks.filter(({ odd }) => odd === true).length,
        undrawn:
          fresh.filter(({ peaks }) => peaks === undefined).length +
          known.filter(({ isDrawn, peaks }) => !isDrawn && peaks === undefined).length,
        skipped: [...looks.flatMap(({ skipped }) => (skipped === undefined ? [] : [skipped])), ...damaged],
        next: Option.fromNullishOr(next)
      }
    })
  })
})
