/**
 * The audio of stored chunks as PCM, whatever it is stored as. Plain audio and our own encrypted one are read by range;
 * what has to be read whole (Opus, other encrypted records) is decoded once, and kept for the next ranges of it.
 */
import { crc32c } from "@node-rs/crc32"
import { Cache, Context, Duration, Effect, Exit, Layer, Option, Schedule, Stream } from "effect"
import { type Saturated, StorageRead } from "../../Bulkhead.ts"
import { rereadDamaged, Storage } from "../../Storage.ts"
import { NotSealed, Protection, SealedRecords } from "../../Encryption.ts"
import type { ObjectNotFound, StorageRefused, StorageUnavailable, ReadError as StoreError } from "../../Storage.ts"
import type { Chunk } from "../Chunk.ts"
import * as ChunkDecoder from "./ChunkDecoder.ts"
import { ChunkUnreadable } from "./ChunkUnreadable.ts"
import * as ObjectName from "../Catalog/ObjectName.ts"
import { RecordingConfig } from "../RecordingConfig.ts"

/** The store's own answers pass as they are; what it gives and is not the chunk's audio is `ChunkUnreadable`. */
type ReadError = ChunkUnreadable | ObjectNotFound | StorageRefused | StorageUnavailable | Saturated

/** What of a chunk its decoded audio depends on. */
interface Source extends Pick<Chunk, "uid" | "conversation" | "key" | "sampleRate" | "object"> {}

export class StoredAudio extends Context.Service<
  StoredAudio,
  {
    /**
     * Bytes `start` to `end` (not included) of a stored chunk's PCM16. All of it is compared with the CRC32C of its row;
     * when that differs, it is read once more, and its last piece is not handed on unless all pieces were right. Parts of
     * plain audio can't be checked.
     */
    read(chunk: Chunk, start: number, end: number): Stream.Stream<Uint8Array, ReadError>
  }
>()("spillway/Recording/Read/StoredAudio") {
  static readonly layer = Layer.effect(
    StoredAudio,
    Effect.suspend(() => make)
  )
}

/** Somebody who is already listening waits up to 10 s for a permit while more than may wait do. */
const whileSaturated = Schedule.spaced("500 millis").pipe(
  Schedule.upTo({ times: 20 }),
  Schedule.setInputType<StoreError | ReadError>(),
  Schedule.while(({ input }) => input._tag === "Saturated")
)

const unreadable = ({ conversation, key, uid }: Source, cause: unknown) =>
  new ChunkUnreadable({ uid, conversation, key, cause })

/** The object is not the one that was stored. */
const changed = (source: Source) => unreadable(source, new Error("its CRC32C is not that of what was stored"))

const sumOf = (pieces: ReadonlyArray<Uint8Array>, before = 0): number =>
  pieces.reduce((sum, bytes) => crc32c(bytes, sum), before)

/** Sums an object that is read whole, in pieces; undefined when its row has no sum of `size` bytes. */
class Summing {
  readonly size: number
  readonly expected: number
  /** Of the pieces before the last one that was added, and with it. */
  before = 0
  sum = 0
  #left: number

  private constructor(size: number, expected: number) {
    this.size = size
    this.expected = expected
    this.#left = size
  }

  static of({ object }: Source, size: number): Summing | undefined {
    return object?.bytes === size ? new Summing(size, object.crc32c) : undefined
  }

  /** False when all has been added and the sum is another one. */
  add(pieces: ReadonlyArray<Uint8Array>): boolean {
    this.before = this.sum
    this.sum = sumOf(pieces, this.sum)
    for (const { length } of pieces) this.#left -= length
    return this.#left > 0 || this.sum === this.expected
  }
}

const make = Effect.gen(function* () {
  const config = yield* RecordingConfig
  const storage = yield* Storage
  const storageRead = yield* StorageRead
  const protection = yield* Protection
  const decoder = ChunkDecoder.make(protection, config.decodedBytes)

  /** Whole pieces, so that a listener who reads slowly holds no permit. Who is already listening waits for one. */
  const permitted = <A>(source: Source, read: Effect.Effect<A, StoreError | ChunkUnreadable>) =>
    read.pipe(
      rereadDamaged,
      storageRead.run(source.uid),
      Effect.retry(whileSaturated),
      Effect.catchTag("ObjectDamaged", (cause) => Effect.fail(unreadable(source, cause)))
    )

  const collect = (source: Source, bytes: Stream.Stream<Uint8Array, StoreError | ChunkUnreadable>) =>
    permitted(source, Stream.runCollect(bytes))

  /** All of an object that has to be decoded. */
  const whole = Effect.fnUntraced(function* (source: Source) {
    const tooLarge = unreadable(source, new Error(`it has more than ${config.decodedBytes} bytes`))
    const bytes: Stream.Stream<Uint8Array, StoreError | ChunkUnreadable> = storage.get(source.key)
    const limited = Stream.limitBytes(bytes, config.decodedBytes, () => Stream.fail(tooLarge))
    return Buffer.concat(yield* collect(source, limited))
  })

  const decode = Effect.fnUntraced(function* (source: Source) {
    const isSound = (stored: Uint8Array) => Summing.of(source, stored.length)?.add([stored]) !== false
    const first = yield* whole(source)
    const stored = isSound(first) ? first : yield* whole(source)
    if (!isSound(stored)) return yield* changed(source)
    return yield* Effect.mapError(decoder.decode(source, stored), (cause) => unreadable(source, cause))
  })

  const decoded = yield* Cache.makeWith(decode, {
    capacity: config.decodedChunks,
    timeToLive: (exit) => (Exit.isSuccess(exit) ? Duration.infinity : Duration.zero)
  })

  const fromWhole = Effect.fnUntraced(function* (source: Source, start: number, end: number) {
    const audio = yield* Cache.get(decoded, source)
    if (audio.length >= end) return audio.subarray(start, end)
    return yield* unreadable(source, new Error(`its audio has ${audio.length} bytes, ${end} were to be there`))
  })

  /** Pieces of about the size that is read at once; `unit` bytes stay together. */
  const inPieces = <A extends ReadonlyArray<Uint8Array>>(
    start: number,
    end: number,
    unit: number,
    read: (from: number, to: number) => Effect.Effect<A, ReadError>
  ): Stream.Stream<Uint8Array, ReadError> =>
    Stream.paginate(start, (from) => {
      const pieces = Math.max(1, Math.floor(config.readPiece / unit))
      const to = Math.min(end, (Math.floor(from / unit) + pieces) * unit)
      return Effect.map(read(from, to), (bytes) => [bytes, to < end ? Option.some(to) : Option.none()] as const)
    })

  /** The last piece, from another read of the whole; the pieces that were handed on before must be in it as they were. */
  const lastAgain = (source: Source, sums: Summing, from: number) => {
    const again = Effect.suspend(() => {
      const last = new Uint8Array(sums.size - from)
      let at = 0
      let before = 0
      const take = (bytes: Uint8Array) => {
        const early = bytes.subarray(0, Math.max(0, from - at))
        before = crc32c(early, before)
        last.set(bytes.subarray(early.length), at + early.length - from)
        at += bytes.length
      }
      return Effect.map(
        Stream.runForEach(storage.get(source.key, { start: 0, end: sums.size }), (bytes) =>
          Effect.sync(() => take(bytes))
        ),
        () => ({ last, before, sum: crc32c(last, before) })
      )
    })
    return Effect.flatMap(permitted(source, again), ({ before, last, sum }) =>
      sum === sums.expected && before === sums.before ? Effect.succeed([last]) : Effect.fail(changed(source))
    )
  }

  const readPlain = (chunk: Chunk, start: number, end: number) =>
    Stream.suspend(() => {
      const isWhole = start === 0 && end === chunk.samples * 2
      // The odd byte of a legacy chunk is not heard, but summed.
      const odd = isWhole && chunk.object?.bytes === end + 1 ? 1 : 0
      const sums = isWhole ? Summing.of(chunk, end + odd) : undefined
      return inPieces(start, end, 1, (from, to) => {
        const rest = to === end ? odd : 0
        const read = collect(chunk, storage.get(chunk.key, { start: from, end: to + rest }))
        const sound = Effect.flatMap(read, (bytes) =>
          sums?.add(bytes) === false ? lastAgain(chunk, sums, from) : Effect.succeed(bytes)
        )
        return rest === 0 ? sound : Effect.map(sound, (bytes) => [Buffer.concat(bytes).subarray(0, to - from)])
      })
    })

  /** Fails with `NotSealed` when the records are not cut as ours are. */
  const readRecords = Effect.fnUntraced(function* (chunk: Chunk, from: number, to: number, sums: Summing | undefined) {
    const size = chunk.samples * 2
    const window = SealedRecords.windowOf(from, to, size)
    const sealed = Buffer.concat(yield* collect(chunk, storage.get(chunk.key, window)))
    const audio = yield* protection.open(chunk.uid, sealed)
    const wanted = audio.subarray(window.skip, window.skip + to - from)
    if (SealedRecords.sealedSize(audio.length) !== sealed.length || wanted.length !== to - from)
      return yield* new NotSealed({ uid: chunk.uid, reason: "records of another length" })
    if (sums?.add([sealed]) === false) return yield* changed(chunk)
    return wanted
  })

  const readSealed = (chunk: Chunk, start: number, end: number) =>
    Stream.suspend(() => {
      const isWhole = start === 0 && end === chunk.samples * 2
      const sums = isWhole ? Summing.of(chunk, SealedRecords.sealedSize(end)) : undefined
      return inPieces(start, end, SealedRecords.recordSize, (from, to) => {
        const whole = fromWhole(sourceOf(chunk), from, to)
        const records = readRecords(chunk, from, to, sums)
        return Cache.has(decoded, sourceOf(chunk)).pipe(
          Effect.flatMap((isDecoded) => (isDecoded ? whole : Effect.catchTag(records, "NotSealed", () => whole))),
          Effect.map((bytes) => [bytes])
        )
      })
    })

  const readDecoded = (chunk: Chunk, start: number, end: number) =>
    inPieces(start, end, 1, (from, to) => Effect.map(fromWhole(sourceOf(chunk), from, to), (bytes) => [bytes]))

  return StoredAudio.of({
    read: (chunk, start, end) => {
      const format = ObjectName.formatOf(chunk.key)
      if (format?.codec === "opus") return readDecoded(chunk, start, end)
      return format?.sealed === true ? readSealed(chunk, start, end) : readPlain(chunk, start, end)
    }
  })
})

const sourceOf = ({ conversation, key, object, sampleRate, uid }: Chunk): Source => ({
  uid,
  conversation,
  key,
  sampleRate,
  object
})
