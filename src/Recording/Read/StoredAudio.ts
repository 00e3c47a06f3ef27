/**
 * Reads stored chunks as PCM16. Plain audio and records encrypted by this server are read by range; Opus and foreign encrypted
 * records are read whole, decoded once and cached.
 */
import { crc32c } from "@node-rs/crc32"
import { Context, Effect, Layer, Option, Schema, Stream } from "effect"
import { type Saturated, StorageBulkheads, whileSaturated } from "../../Bulkhead.ts"
import { rereadDamaged, Storage } from "../../Storage.ts"
import { DecryptionFailed, Protection, EncryptedRecords } from "../../Encryption.ts"
import type { ObjectNotFound, StorageRefused, StorageUnavailable, ReadError as StoreError } from "../../Storage.ts"
import { Opus } from "../../Opus.ts"
import type { Chunk } from "../Chunk.ts"
import * as ChunkDecoder from "./ChunkDecoder.ts"
import * as DecodedChunks from "./DecodedChunks.ts"
import * as ObjectName from "../Objects/ObjectName.ts"
import { RecordingConfig } from "../RecordingConfig.ts"

/** The chunk's audio is corrupt, discarded, or missing from both the journal and the store. */
export class ChunkUnreadable extends Schema.TaggedError<ChunkUnreadable>()("ChunkUnreadable", {
  uid: Schema.String,
  conversation: Schema.String,
  key: Schema.String,
  cause: Schema.Defect()
}) {
  override get message() {
    return `can't read the audio of ${this.key}: ${this.cause instanceof Error ? this.cause.message : String(this.cause)}`
  }
}

/** Errors of the store, or `ChunkUnreadable` if the object is not the chunk's audio. */
type ReadError = ChunkUnreadable | ObjectNotFound | StorageRefused | StorageUnavailable | Saturated

interface Source extends Pick<Chunk, "uid" | "conversation" | "key" | "sampleRate" | "object"> {}

export class StoredAudio extends Context.Service<
  StoredAudio,
  {
    /**
     * Bytes `start` to `end` (exclusive) of a stored chunk's PCM16. A whole read is verified against the CRC32C of its row and
     * repeated once on a mismatch; the last piece is emitted only after verification. Ranges of plain audio are not verified.
     */
    read(chunk: Chunk, start: number, end: number): Stream.Stream<Uint8Array, ReadError>
    /** The same bytes in one buffer. The caller bounds the range. */
    piece(chunk: Chunk, start: number, end: number): Effect.Effect<Uint8Array, ReadError>
    /** All packets of an Opus chunk. */
    packets(chunk: Chunk): Effect.Effect<ReadonlyArray<Uint8Array>, ReadError>
  }
>()("spillway/Recording/Read/StoredAudio") {
  static readonly layer = Layer.effect(
    StoredAudio,
    Effect.suspend(() => make)
  )
}

const unreadable = ({ conversation, key, uid }: Source, cause: unknown) =>
  new ChunkUnreadable({ uid, conversation, key, cause })

const changed = (source: Source) =>
  unreadable(
    source,
    new Error("its CRC32C differs from that of the stored chunk: the object was changed or is damaged")
  )

/** Verifies the CRC32C of an object that is read whole, in pieces. */
class Checksum {
  readonly size: number
  readonly expected: number
  /** Checksums without and with the last added piece. */
  before = 0
  sum = 0
  #left: number

  private constructor(size: number, expected: number) {
    this.size = size
    this.expected = expected
    this.#left = size
  }

  /** Undefined if the row has no checksum of `size` bytes. */
  static of({ object }: Source, size: number): Checksum | undefined {
    return object?.bytes === size ? new Checksum(size, object.crc32c) : undefined
  }

  /** Returns false if the last piece was added and the checksum differs. */
  add(piece: Uint8Array): boolean {
    this.before = this.sum
    this.sum = crc32c(piece, this.sum)
    this.#left -= piece.length
    return this.#left > 0 || this.sum === this.expected
  }
}

const make = Effect.gen(function* () {
  const config = yield* RecordingConfig
  const storage = yield* Storage
  const { read: storageRead } = yield* StorageBulkheads
  const protection = yield* Protection
  const decoder = ChunkDecoder.make(protection, yield* Opus, config.decodedBytes)

  /** Runs a read of whole pieces under a permit, so that a slow listener holds none. */
  const permitted = <A>(source: Source, read: Effect.Effect<A, StoreError | ChunkUnreadable>) =>
    read.pipe(
      rereadDamaged,
      storageRead.run(source.uid),
      Effect.retry(whileSaturated),
      Effect.catchTag("ObjectDamaged", (cause) => Effect.fail(unreadable(source, cause)))
    )

  const collect = (source: Source, bytes: Stream.Stream<Uint8Array, StoreError | ChunkUnreadable>) =>
    permitted(source, Stream.runCollect(bytes))

  const whole = Effect.fnUntraced(function* (source: Source) {
    const tooLarge = unreadable(
      source,
      new Error(`it has more than ${config.decodedBytes} bytes, the limit for decoding`)
    )
    const bytes: Stream.Stream<Uint8Array, StoreError | ChunkUnreadable> = storage.get(source.key)
    const limited = Stream.limitBytes(bytes, config.decodedBytes, () => Stream.fail(tooLarge))
    return Buffer.concat(yield* collect(source, limited))
  })

  const soundWhole = Effect.fnUntraced(function* (source: Source) {
    const isSound = (stored: Uint8Array) => Checksum.of(source, stored.length)?.add(stored) !== false
    const first = yield* whole(source)
    const stored = isSound(first) ? first : yield* whole(source)
    return isSound(stored) ? stored : yield* changed(source)
  })

  const decode = Effect.fnUntraced(function* (source: Source) {
    const stored = yield* soundWhole(source)
    return yield* Effect.catchTag(decoder.decode(source, stored), ["DecryptionFailed", "OpusUndecodable"], (cause) =>
      Effect.fail(unreadable(source, cause))
    )
  })

  const packets = Effect.fnUntraced(function* (source: Source) {
    const stored = yield* soundWhole(source)
    return yield* Effect.mapError(decoder.packets(source, stored), (cause) => unreadable(source, cause))
  })

  const decoded = yield* DecodedChunks.make(decode, config.decodedChunks)

  const fromWhole = Effect.fnUntraced(function* (source: Source, start: number, end: number) {
    const audio = yield* decoded.get(source)
    if (audio.length >= end) return audio.subarray(start, end)
    return yield* unreadable(source, new Error(`its audio has ${audio.length} bytes, but at least ${end} are expected`))
  })

  /** Splits a read into pieces of about `readPiece` bytes, at multiples of `unit` bytes. */
  const inPieces = (
    start: number,
    end: number,
    unit: number,
    read: (from: number, to: number) => Effect.Effect<Uint8Array, ReadError>
  ): Stream.Stream<Uint8Array, ReadError> =>
    Stream.paginate(start, (from) => {
      const pieces = Math.max(1, Math.floor(config.readPiece / unit))
      const to = Math.min(end, (Math.floor(from / unit) + pieces) * unit)
      return Effect.map(read(from, to), (bytes) => [[bytes], to < end ? Option.some(to) : Option.none()] as const)
    })

  /** The last piece from a second whole read, which must agree with the pieces that were already emitted. */
  const lastAgain = (source: Source, checksum: Checksum, from: number) => {
    const again = Effect.suspend(() => {
      const last = new Uint8Array(checksum.size - from)
      let at = 0
      let before = 0
      const take = (bytes: Uint8Array) => {
        const early = bytes.subarray(0, Math.max(0, from - at))
        before = crc32c(early, before)
        last.set(bytes.subarray(early.length), at + early.length - from)
        at += bytes.length
      }
      return Effect.map(
        Stream.runForEach(storage.get(source.key, { start: 0, end: checksum.size }), (bytes) =>
          Effect.sync(() => take(bytes))
        ),
        () => ({ last, before, sum: crc32c(last, before) })
      )
    })
    return Effect.flatMap(permitted(source, again), ({ before, last, sum }) =>
      sum === checksum.expected && before === checksum.before ? Effect.succeed(last) : Effect.fail(changed(source))
    )
  }

  const readPlain = (chunk: Chunk, start: number, end: number) =>
    Stream.suspend(() => {
      const isWhole = start === 0 && end === chunk.samples * 2
      // The odd last byte of an imported chunk is part of the checksum only.
      const odd = isWhole && chunk.object?.bytes === end + 1 ? 1 : 0
      const checksum = isWhole ? Checksum.of(chunk, end + odd) : undefined
      return inPieces(start, end, 1, (from, to) => {
        const rest = to === end ? odd : 0
        const read = permitted(chunk, storage.read(chunk.key, { start: from, end: to + rest }))
        return Effect.flatMapEager(read, (bytes) => {
          const sound = checksum?.add(bytes) === false ? lastAgain(chunk, checksum, from) : Effect.succeed(bytes)
          return rest === 0 ? sound : Effect.map(sound, (bytes) => bytes.subarray(0, to - from))
        })
      })
    })

  /** Fails with `DecryptionFailed` if the records have other sizes than those written by this server. */
  const readRecords = Effect.fnUntraced(function* (
    chunk: Chunk,
    from: number,
    to: number,
    checksum: Checksum | undefined
  ) {
    const size = chunk.samples * 2
    const window = EncryptedRecords.windowOf(from, to, size)
    const encrypted = Buffer.concat(yield* collect(chunk, storage.get(chunk.key, window)))
    const audio = yield* protection.decrypt(chunk.uid, encrypted)
    const wanted = audio.subarray(window.skip, window.skip + to - from)
    if (EncryptedRecords.encryptedSize(audio.length) !== encrypted.length || wanted.length !== to - from)
      return yield* new DecryptionFailed({ uid: chunk.uid, reason: "records of an unexpected length" })
    if (checksum?.add(encrypted) === false) return yield* changed(chunk)
    return wanted
  })

  const readEncrypted = (chunk: Chunk, start: number, end: number) =>
    Stream.suspend(() => {
      const isWhole = start === 0 && end === chunk.samples * 2
      const checksum = isWhole ? Checksum.of(chunk, EncryptedRecords.encryptedSize(end)) : undefined
      return inPieces(start, end, EncryptedRecords.recordSize, (from, to) => {
        const whole = fromWhole(sourceOf(chunk), from, to)
        const records = readRecords(chunk, from, to, checksum)
        return Effect.flatMap(decoded.has(sourceOf(chunk)), (isDecoded) =>
          isDecoded ? whole : Effect.catchTag(records, "DecryptionFailed", () => whole)
        )
      })
    })

  const readDecoded = (chunk: Chunk, start: number, end: number) =>
    inPieces(start, end, 1, (from, to) => fromWhole(sourceOf(chunk), from, to))

  const read = (chunk: Chunk, start: number, end: number) => {
    const format = ObjectName.formatOf(chunk.key)
    if (format?.codec === "opus") return readDecoded(chunk, start, end)
    return format?.isEncrypted === true ? readEncrypted(chunk, start, end) : readPlain(chunk, start, end)
  }

  const piece = (chunk: Chunk, start: number, end: number): Effect.Effect<Uint8Array, ReadError> => {
    const format = ObjectName.formatOf(chunk.key)
    const isPlainPart = format?.codec === "pcm16" && !format.isEncrypted && (start > 0 || end < chunk.samples * 2)
    const fromStream = () => Stream.mkUint8Array(read(chunk, start, end))
    if (!isPlainPart) return fromStream()
    // One read, unless it has to be repeated: then as any other.
    return storageRead
      .run(chunk.uid)(storage.read(chunk.key, { start, end }))
      .pipe(Effect.catchTags({ Saturated: fromStream, ObjectDamaged: fromStream }))
  }

  return StoredAudio.of({ read, piece, packets: (chunk) => packets(sourceOf(chunk)) })
})

const sourceOf = ({ conversation, key, object, sampleRate, uid }: Chunk): Source => ({
  uid,
  conversation,
  key,
  sampleRate,
  object
})
