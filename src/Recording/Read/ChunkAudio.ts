/** Reads the audio of a chunk from the journal, else from the store. */
import { Context, Effect, Layer, Option, Stream } from "effect"
import { Bitstream, OpusPacket } from "../../Audio.ts"
import type { Saturated } from "../../Bulkhead.ts"
import type { DbError } from "../../Db.ts"
import { type ObjectNotFound, type StorageRefused, StorageUnavailable } from "../../Storage.ts"
import { Opus } from "../../Opus.ts"
import type { Chunk } from "../Chunk.ts"
import { ChunkRows } from "../Catalog/ChunkRows.ts"
import { Journal } from "../Journal/Journal.ts"
import type { JournalChunk } from "../Journal/JournalChunk.ts"
import type { JournalError } from "../Journal/Segment.ts"
import { LiveConversations } from "../Journal/LiveConversations.ts"
import { RecordingConfig } from "../RecordingConfig.ts"
import * as ChunkDecoder from "./ChunkDecoder.ts"
import * as DecodedChunks from "./DecodedChunks.ts"
import { ChunkUnreadable, StoredAudio } from "./StoredAudio.ts"

export type ReadError = ChunkUnreadable | ObjectNotFound | StorageRefused | StorageUnavailable | Saturated | DbError

export class ChunkAudio extends Context.Service<
  ChunkAudio,
  {
    /** Bytes `start` to `end` (exclusive). */
    readonly read: (chunk: Chunk, start: number, end: number) => Stream.Stream<Uint8Array, ReadError>
    /** The same bytes in one buffer. The caller bounds the range. */
    readonly piece: (chunk: Chunk, start: number, end: number) => Effect.Effect<Uint8Array, ReadError>
    /** The packets of an Opus chunk, as many as it has samples. */
    readonly packets: (chunk: Chunk) => Effect.Effect<ReadonlyArray<Uint8Array>, ReadError>
  }
>()("spillway/Recording/Read/ChunkAudio") {
  static readonly layer = Layer.effect(
    ChunkAudio,
    Effect.suspend(() => make)
  )
}

/** Size of one read from the journal; each is buffered. */
const journalReadBytes = 256 * 1024

/** The same for every snapshot with as many samples, whether the chunk is still open or not. */
const keyOf = (chunk: Chunk): Chunk => ({ ...chunk, state: "sealed", clockShifts: [] })

const make = Effect.gen(function* () {
  const config = yield* RecordingConfig
  const opus = yield* Opus
  const journal = yield* Journal
  const live = yield* LiveConversations
  const chunkRows = yield* ChunkRows
  const stored = yield* StoredAudio

  const unreadable = (chunk: Chunk, cause: unknown) =>
    new ChunkUnreadable({ uid: chunk.uid, conversation: chunk.conversation, key: chunk.key, cause })

  /** A transient error is not the chunk's, which would be remembered as damaged. */
  const notRead = (chunk: Chunk, cause: JournalError) =>
    cause.isTransient === true
      ? new StorageUnavailable({ operation: "read", bucket: "journal", key: chunk.key, cause })
      : unreadable(chunk, cause)

  /** Its row has the final key, which may differ from the live chunk's. */
  const rowOf = Effect.fnUntraced(function* (chunk: Chunk) {
    const row = Option.filter(yield* chunkRows.find(chunk), ({ state }) => state === "stored")
    if (Option.isSome(row)) return row.value
    return yield* unreadable(chunk, new Error("it is neither in the journal nor in the store"))
  })

  /** From the journal; from the store if the chunk has left it, also during the read. */
  const readFrom = <A>(
    chunk: Chunk,
    inJournal: (found: JournalChunk) => Effect.Effect<A, JournalError>,
    inStore: (row: Chunk) => Effect.Effect<A, ReadError>
  ): Effect.Effect<A, ReadError> =>
    Effect.suspend(() => {
      if (chunk.state === "stored") return inStore(chunk)
      const find = () => live.chunk(chunk.uid, chunk.conversation, chunk.id)
      const moved = Effect.flatMap(rowOf(chunk), inStore)
      const found = find()
      if (found === undefined) return moved
      return Effect.catch(inJournal(found), (error): Effect.Effect<A, ReadError> =>
        find() === undefined ? moved : Effect.fail(notRead(chunk, error))
      )
    })

  const packets = (chunk: Chunk) => {
    const bitstream = Bitstream.of(chunk.codec, chunk.sampleRate)
    return readFrom(
      chunk,
      (found) =>
        Effect.map(journal.read(found, 0, found.durable), (audio) =>
          OpusPacket.split(audio.subarray(0, bitstream.bytesOf(audio, chunk.samples)))
        ),
      stored.packets
    )
  }

  const decode = Effect.fnUntraced(function* (chunk: Chunk) {
    const decoded = ChunkDecoder.decodePackets(opus, chunk, yield* packets(chunk), chunk.samples)
    return yield* Effect.catchTag(decoded, "OpusUndecodable", (cause) => Effect.fail(unreadable(chunk, cause)))
  })

  const decoded = yield* DecodedChunks.make(decode, config.decodedChunks)

  const readDecoded = (chunk: Chunk, start: number, end: number): Stream.Stream<Uint8Array, ReadError> =>
    Stream.paginate(start, (at) => {
      const to = Math.min(end, at + config.readPiece)
      return Effect.map(decoded.get(keyOf(chunk)), (audio) => [
        [audio.subarray(at, to)],
        to < end ? Option.some(to) : Option.none()
      ])
    })

  const read = (chunk: Chunk, start: number, end: number): Stream.Stream<Uint8Array, ReadError> => {
    if (start >= end) return Stream.empty
    if (chunk.state === "stored") return stored.read(chunk, start, end)
    if (chunk.codec === "opus") return readDecoded(chunk, start, end)
    const to = Math.min(end, start + journalReadBytes)
    return Stream.unwrap(
      readFrom(
        chunk,
        (found) =>
          Effect.map(journal.read(found, start, to), (bytes) =>
            Stream.concat(
              Stream.make(bytes),
              Stream.suspend(() => read(chunk, to, end))
            )
          ),
        (row) => Effect.succeed(stored.read(row, start, end))
      )
    )
  }

  const piece = (chunk: Chunk, start: number, end: number) =>
    chunk.state === "stored" ? stored.piece(chunk, start, end) : Stream.mkUint8Array(read(chunk, start, end))

  return ChunkAudio.of({ read, piece, packets })
})
