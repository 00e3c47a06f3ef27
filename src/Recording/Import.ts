/**
 * Indexes chunks that are in the store and not in the database, without copying them: exact spans from their metadata,
 * else the start of their name and the length of what they decode to. Doing it again changes nothing.
 */
import { Context, Effect, Layer, Option, Schema, Stream } from "effect"
import { Span } from "../Audio.ts"
import type { DbError } from "../Db.ts"
import { type ObjectHead, Protection, Storage, StorageRefused, type StorageUnavailable } from "../Storage.ts"
import * as ChunkDecoder from "./ChunkDecoder.ts"
import { type ImportedChunk, ImportRows } from "./ImportRows.ts"
import * as ObjectName from "./ObjectName.ts"
import { RecordingConfig } from "./RecordingConfig.ts"

export interface Skipped {
  readonly key: string
  readonly reason: string
}

export interface Imported {
  /** New in the database. */
  readonly added: number
  /** There before. */
  readonly known: number
  /** Chunks of an odd number of bytes, the last of which is not heard. */
  readonly odd: number
  /** Objects that are no chunks, or whose audio can't be had. */
  readonly skipped: ReadonlyArray<Skipped>
  /** For `after`, to go on. */
  readonly next: Option.Option<string>
}

export class Import extends Context.Service<
  Import,
  {
    /** One page of what the store has of a user. `sampleRate` is taken where no metadata tells it. */
    page(
      uid: string,
      options: { readonly after: string; readonly sampleRate: number }
    ): Effect.Effect<Imported, StorageUnavailable | StorageRefused | DbError>
  }
>()("spillway/Recording/Import") {
  static readonly layerNoDeps = Layer.effect(
    Import,
    Effect.suspend(() => make)
  )
  static readonly layer = this.layerNoDeps.pipe(Layer.provide(ImportRows.layer))
}

const pageSize = 1_000

/** The object is no chunk, or its audio can't be had. */
class Unusable extends Schema.TaggedError<Unusable>()("Unusable", { key: Schema.String, reason: Schema.String }) {}

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

interface Found {
  readonly chunk: ImportedChunk
  readonly odd: boolean
}

const make = Effect.gen(function* () {
  const config = yield* RecordingConfig
  const storage = yield* Storage
  const rows = yield* ImportRows
  const decoder = ChunkDecoder.make(yield* Protection, config.decodedBytes)

  /** Bytes of PCM16, which plain PCM has itself and anything else only decoded. */
  const measure = Effect.fnUntraced(function* (head: ObjectHead, name: ObjectName.ObjectName, sampleRate: number) {
    if (name.codec === "pcm16" && !name.sealed) return head.size
    if (head.size > config.decodedBytes) {
      return yield* new Unusable({ key: head.key, reason: `it has more than ${config.decodedBytes} bytes` })
    }
    const stored = yield* Stream.mkUint8Array(storage.get(head.key))
    return yield* decoder.measure({ uid: name.uid, key: head.key, sampleRate }, stored)
  })

  const inspect = Effect.fnUntraced(function* (uid: string, head: ObjectHead, usualRate: number) {
    const { crc32c, key, size } = head
    const name = Option.getOrUndefined(Option.filter(ObjectName.parse(key), (name) => name.uid === uid))
    if (name === undefined) return yield* new Unusable({ key, reason: "its name is not that of a chunk" })
    const { codec, conversation, sealed } = name
    const common = { conversation, codec, key, bytes: size, crc32c }
    const isPlain = codec === "pcm16" && !sealed
    const exact = Option.getOrUndefined(spanOf(head))
    if (exact !== undefined) {
      if (!isPlain || exact.samples * 2 <= size)
        return { chunk: { ...common, ...exact }, odd: isPlain && size % 2 === 1 }
      return yield* new Unusable({ key, reason: `it has ${size} bytes for ${exact.samples} samples` })
    }
    const bytes = yield* measure(head, name, usualRate).pipe(
      Effect.catchTag(["NotSealed", "NotOpus", "ObjectNotFound", "StorageRefused"], ({ message }) =>
        Effect.fail(new Unusable({ key, reason: message }))
      )
    )
    const samples = Math.floor(bytes / 2)
    if (samples === 0) return yield* new Unusable({ key, reason: "it holds no audio" })
    return { chunk: { ...common, start: name.start, samples, sampleRate: usualRate }, odd: bytes % 2 === 1 }
  })

  /** A store may refuse to list an object that is damaged: then the ones before it are listed alone, and it is skipped. */
  const list = Effect.fnUntraced(function* (prefix: string, after: string) {
    const page = (limit: number) => Effect.result(storage.list(prefix, { after, limit }))
    const many = yield* page(pageSize)
    const found = many._tag === "Failure" && many.failure._tag === "StorageRefused" ? yield* page(1) : many
    if (found._tag === "Success") return { ...found.success, damaged: [] }
    const { failure } = found
    const isObject = failure._tag === "StorageRefused" && failure.key.startsWith(prefix) && failure.key !== prefix
    if (!isObject) return yield* failure
    return { objects: [], next: failure.key, damaged: [{ key: failure.key, reason: failure.reason }] }
  })

  return Import.of({
    page: Effect.fn("Import.page")(function* (uid, { after, sampleRate }) {
      const { damaged, next, objects } = yield* list(ObjectName.prefixOf(uid), after)
      const looks = yield* Effect.forEach(
        objects,
        (head) =>
          inspect(uid, head, sampleRate).pipe(
            Effect.map((found): Found | Skipped => found),
            Effect.catchTag("Unusable", ({ key, reason }) => Effect.succeed<Found | Skipped>({ key, reason }))
          ),
        { concurrency: config.importWindow }
      )
      const found = looks.flatMap((look) => ("chunk" in look ? [look] : []))
      const skipped = looks.flatMap((look) => ("chunk" in look ? [] : [look]))
      const added = yield* rows.insert(
        uid,
        found.map(({ chunk }) => chunk)
      )
      return {
        added,
        known: found.length - added,
        odd: found.filter(({ odd }) => odd).length,
        skipped: [...skipped, ...damaged],
        next: Option.fromNullishOr(next)
      }
    })
  })
})
