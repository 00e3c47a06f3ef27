/**
 * The audio of stored chunks as PCM, whatever it is stored as. Plain audio and our own encrypted one are read by range;
 * what has to be read whole (Opus, other encrypted records) is decoded once, and kept for the next ranges of it.
 */
import { crc32c } from "@node-rs/crc32"
import { Cache, Context, Duration, Effect, Exit, Layer, Option, Schedule, Stream } from "effect"
import { type Saturated, StorageRead } from "../Bulkhead.ts"
import { NotSealed, Protection, SealedRecords, Storage, type StorageError, StorageRefused } from "../Storage.ts"
import type { StorageUnavailable } from "../Storage.ts"
import type { Chunk } from "./Chunk.ts"
import * as ChunkDecoder from "./ChunkDecoder.ts"
import { ChunkUnreadable } from "./ChunkUnreadable.ts"
import * as ObjectName from "./ObjectName.ts"
import { RecordingConfig } from "./RecordingConfig.ts"

type ReadError = ChunkUnreadable | StorageUnavailable | Saturated

/** What of a chunk its decoded audio depends on. */
interface Source extends Pick<Chunk, "uid" | "conversation" | "key" | "sampleRate" | "object"> {}

export class StoredAudio extends Context.Service<
  StoredAudio,
  {
    /**
     * Bytes `start` to `end` (not included) of a stored chunk's PCM16. All of it is compared with the CRC32C of its row,
     * and its last piece is not handed on if it is not the same; parts of plain audio can't be checked.
     */
    read(chunk: Chunk, start: number, end: number): Stream.Stream<Uint8Array, ReadError>
  }
>()("spillway/Recording/StoredAudio") {
  static readonly layer = Layer.effect(
    StoredAudio,
    Effect.suspend(() => make)
  )
}

/** Somebody who is already listening waits up to 10 s for a permit while more than may wait do. */
const whileSaturated = Schedule.spaced("500 millis").pipe(
  Schedule.upTo({ times: 20 }),
  Schedule.setInputType<StorageError | Saturated>(),
  Schedule.while(({ input }) => input._tag === "Saturated")
)

const unreadable = ({ conversation, key, uid }: Source, cause: unknown) =>
  new ChunkUnreadable({ uid, conversation, key, cause })

/** The object is not the one that was stored. */
const changed = (source: Source) => unreadable(source, new Error("its CRC32C is not that of what was stored"))

/** Takes in an object piece by piece, if all of its `size` bytes are read; answers whether what was read is not what was stored. */
const summing = ({ object }: Source, size: number) => {
  if (object?.bytes !== size) return () => false
  let sum = 0
  let left = size
  return (pieces: ReadonlyArray<Uint8Array>, isLast: boolean): boolean => {
    for (const bytes of pieces) {
      sum = crc32c(bytes, sum)
      left -= bytes.length
    }
    return isLast && left === 0 && sum !== object.crc32c
  }
}

const make = Effect.gen(function* () {
  const config = yield* RecordingConfig
  const storage = yield* Storage
  const storageRead = yield* StorageRead
  const protection = yield* Protection
  const decoder = ChunkDecoder.make(protection, config.decodedBytes)

  /** Whole pieces, so that a listener who reads slowly holds no permit. Who is already listening waits for one. */
  const collect = (source: Source, bytes: Stream.Stream<Uint8Array, StorageError>) =>
    Stream.runCollect(bytes).pipe(
      storageRead.run(source.uid),
      Effect.retry(whileSaturated),
      Effect.catchTags({
        ObjectNotFound: (cause) => Effect.fail(unreadable(source, cause)),
        ObjectConflict: (cause) => Effect.fail(unreadable(source, cause)),
        StorageRefused: (cause) => Effect.fail(unreadable(source, cause))
      })
    )

  const decode = Effect.fnUntraced(function* (source: Source) {
    const { key } = source
    const tooLarge = new StorageRefused({
      operation: "decode",
      bucket: storage.bucket,
      key,
      reason: `it has more than ${config.decodedBytes} bytes`
    })
    const whole: Stream.Stream<Uint8Array, StorageError> = storage.get(key)
    const limited = Stream.limitBytes(whole, config.decodedBytes, () => Stream.fail(tooLarge))
    const stored = Buffer.concat(yield* collect(source, limited))
    if (summing(source, stored.length)([stored], true)) return yield* changed(source)
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

  const readPlain = (chunk: Chunk, start: number, end: number) =>
    Stream.suspend(() => {
      const isWhole = start === 0 && end === chunk.samples * 2
      // The odd byte of a legacy chunk is not heard, but summed.
      const odd = isWhole && chunk.object?.bytes === end + 1 ? 1 : 0
      const isOther = summing(chunk, isWhole ? end + odd : Number.NaN)
      return inPieces(start, end, 1, (from, to) => {
        const isLast = to === end
        const range = { start: from, end: isLast ? to + odd : to }
        return Effect.flatMap(collect(chunk, storage.get(chunk.key, range)), (bytes) => {
          if (isOther(bytes, isLast)) return Effect.fail(changed(chunk))
          return Effect.succeed(isLast && odd > 0 ? [Buffer.concat(bytes).subarray(0, to - from)] : bytes)
        })
      })
    })

  /** Fails with `NotSealed` when the records are not cut as ours are. */
  const readRecords = Effect.fnUntraced(function* (
    chunk: Chunk,
    from: number,
    to: number,
    isOther: (sealed: Uint8Array) => boolean
  ) {
    const size = chunk.samples * 2
    const window = SealedRecords.windowOf(from, to, size)
    const sealed = Buffer.concat(yield* collect(chunk, storage.get(chunk.key, window)))
    const audio = yield* protection.open(chunk.uid, sealed)
    const wanted = audio.subarray(window.skip, window.skip + to - from)
    if (SealedRecords.sealedSize(audio.length) !== sealed.length || wanted.length !== to - from)
      return yield* new NotSealed({ uid: chunk.uid, reason: "records of another length" })
    if (isOther(sealed)) return yield* changed(chunk)
    return wanted
  })

  const readSealed = (chunk: Chunk, start: number, end: number) =>
    Stream.suspend(() => {
      const isWhole = start === 0 && end === chunk.samples * 2
      const isOther = summing(chunk, isWhole ? SealedRecords.sealedSize(end) : Number.NaN)
      return inPieces(start, end, SealedRecords.recordSize, (from, to) => {
        const whole = fromWhole(sourceOf(chunk), from, to)
        const records = readRecords(chunk, from, to, (sealed) => isOther([sealed], to === end))
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
