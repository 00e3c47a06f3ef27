/** Reads the audio of a chunk from the journal, else from the store. */
import { Context, Effect, Layer, Option, Stream } from "effect"
import type { Saturated } from "../../Bulkhead.ts"
import type { DbError } from "../../Db.ts"
import { type ObjectNotFound, type StorageRefused, StorageUnavailable } from "../../Storage.ts"
import type { Chunk } from "../Chunk.ts"
import { ChunkRows } from "../Catalog/ChunkRows.ts"
import { Journal } from "../Journal/Journal.ts"
import type { JournalError } from "../Journal/Segment.ts"
import { LiveConversations } from "../Journal/LiveConversations.ts"
import { ChunkUnreadable, StoredAudio } from "./StoredAudio.ts"

export type ReadError = ChunkUnreadable | ObjectNotFound | StorageRefused | StorageUnavailable | Saturated | DbError

export class ChunkAudio extends Context.Service<
  ChunkAudio,
  {
    /** Bytes `start` to `end` (exclusive). */
    readonly read: (chunk: Chunk, start: number, end: number) => Stream.Stream<Uint8Array, ReadError>
    /** The same bytes in one buffer. The caller bounds the range. */
    readonly piece: (chunk: Chunk, start: number, end: number) => Effect.Effect<Uint8Array, ReadError>
  }
>()("spillway/Recording/Read/ChunkAudio") {
  static readonly layer = Layer.effect(
    ChunkAudio,
    Effect.suspend(() => make)
  )
}

/** Size of one read from the journal; each is buffered. */
const journalReadBytes = 256 * 1024

const make = Effect.gen(function* () {
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

  /** Reads a chunk that left the journal. Its row has the final key, which may differ from the live chunk's. */
  const readMoved = Effect.fnUntraced(function* (chunk: Chunk, start: number, end: number) {
    const row = Option.filter(yield* chunkRows.find(chunk), ({ state }) => state === "stored")
    return Option.isNone(row)
      ? Stream.fail(unreadable(chunk, new Error("it is neither in the journal nor in the store")))
      : stored.read(row.value, start, end)
  })

  const read = (chunk: Chunk, start: number, end: number): Stream.Stream<Uint8Array, ReadError> => {
    if (start >= end) return Stream.empty
    if (chunk.state === "stored") return stored.read(chunk, start, end)
    const piece = Math.min(end, start + journalReadBytes)
    return Stream.unwrap(
      Effect.suspend(() => {
        const journalChunk = live.chunk(chunk.uid, chunk.conversation, chunk.id)
        if (journalChunk === undefined) return readMoved(chunk, start, end)
        return journal.read(journalChunk, start, piece).pipe(
          Effect.map((bytes) =>
            Stream.concat(
              Stream.make(bytes),
              Stream.suspend(() => read(chunk, piece, end))
            )
          ),
          Effect.catch(
            (error): Effect.Effect<ReturnType<typeof read>, ChunkUnreadable | StorageUnavailable | DbError> =>
              live.chunk(chunk.uid, chunk.conversation, chunk.id) === undefined
                ? readMoved(chunk, start, end)
                : Effect.fail(notRead(chunk, error))
          )
        )
      })
    )
  }

  const piece = (chunk: Chunk, start: number, end: number) =>
    chunk.state === "stored" ? stored.piece(chunk, start, end) : Stream.mkUint8Array(read(chunk, start, end))

  return ChunkAudio.of({ read, piece })
})
