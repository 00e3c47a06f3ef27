/** Why a span of a conversation can't be played, and how long a damaged chunk stays rejected. */
import { Clock, Duration, Effect, Schema, Stream } from "effect"
import { BoundedMap } from "../../BoundedMap.ts"
import { type Chunk, ChunkUnreadable, type ReadError, type Recording } from "../../Recording.ts"
import type { PlaybackConfig } from "../PlaybackConfig.ts"

const span = {
  conversation: Schema.String,
  /** Unix seconds. */
  start: Schema.Finite,
  end: Schema.Finite,
  cause: Schema.Defect()
}

const messageOf = ({ cause }: { readonly cause: unknown }) => (cause instanceof Error ? cause.message : String(cause))

/** The audio is damaged, or encrypted with another secret. Permanent. */
export class AudioUnreadable extends Schema.TaggedError<AudioUnreadable>()("AudioUnreadable", span) {
  override get message() {
    return messageOf(this)
  }
}

/** The store does not have the object. */
export class AudioMissing extends Schema.TaggedError<AudioMissing>()("AudioMissing", span) {
  override get message() {
    return messageOf(this)
  }
}

type Audio = Pick<Recording["Service"], "read" | "piece" | "packets">
type Range = Parameters<Audio["read"]>[1]

interface PlayedAudio extends Audio {
  /** Chunks of a conversation that could lately not be read, because they are damaged, shorter than their span, or missing. */
  unreadable(uid: string, conversation: string): Effect.Effect<ReadonlyArray<Chunk>>
}

interface Known {
  readonly chunk: Chunk
  readonly until: number
  /** Undefined if its parts can be read: the object was missing, or its end is. */
  readonly error: ChunkUnreadable | undefined
}

const truncated = ({ conversation, key, uid }: Chunk, missing: number, { end, start }: Range) =>
  new ChunkUnreadable({ uid, conversation, key, cause: new Error(`${missing} of ${end - start} bytes are missing`) })

/**
 * Rejects reads of parts of a chunk whose checksum failed. The checksum covers the whole chunk, so a client that resumes
 * after the error would get damaged audio. A successful read of the whole chunk clears it. Reads of fewer bytes than the range
 * fail, because they would shift all later audio.
 */
export function rejectDamaged(
  { packets, piece, read }: Audio,
  { unreadableChunks, unreadableTime }: Pick<PlaybackConfig["Service"], "unreadableChunks" | "unreadableTime">
): PlayedAudio {
  const known = new BoundedMap<Known>(unreadableChunks)
  const add = (chunk: Chunk, error: ChunkUnreadable | undefined, now: number) => {
    known.set(chunk.id, { chunk, until: now + Duration.toMillis(unreadableTime), error })
  }
  const rejected = ({ id, samples }: Chunk, { end, start }: Range, now: number) => {
    const found = known.get(id)
    const isWhole = start === 0 && end === samples * 2
    return found !== undefined && !isWhole && now < found.until ? found.error : undefined
  }
  const noteNow = (chunk: Chunk, error: ReadError, now: number) => {
    if (error._tag === "ChunkUnreadable") add(chunk, error, now)
    if (error._tag === "ObjectNotFound") add(chunk, undefined, now)
  }
  const note = (chunk: Chunk, now: number) => (error: ReadError) => Effect.sync(() => noteNow(chunk, error, now))
  /** What is missing of a chunk is its end. */
  const sound = ({ id, samples }: Chunk, { end }: Range) =>
    Effect.sync(() => (end === samples * 2 ? known.delete(id) : false))
  const exact = (chunk: Chunk, range: Range, length: number, now: number) => {
    const missing = range.end - range.start - length
    if (missing === 0) return known.get(chunk.id) === undefined ? Effect.void : sound(chunk, range)
    return Effect.suspend(() => {
      add(chunk, undefined, now)
      return Effect.fail(truncated(chunk, missing, range))
    })
  }
  return {
    unreadable: (uid, conversation) =>
      Effect.map(Clock.currentTimeMillis, (now) =>
        [...known.values].flatMap(({ chunk, until }) =>
          chunk.uid === uid && chunk.conversation === conversation && now < until ? [chunk] : []
        )
      ),
    packets: (chunk) =>
      Effect.flatMap(Clock.currentTimeMillis, (now) =>
        Effect.tapError(packets(chunk), note(chunk, now)).pipe(
          Effect.tap(() => Effect.sync(() => known.delete(chunk.id)))
        )
      ),
    piece: (chunk, range) =>
      Effect.clockWith((clock) => {
        const now = clock.currentTimeMillisUnsafe()
        const error = rejected(chunk, range, now)
        if (error !== undefined) return Effect.fail(error)
        return Effect.matchEffect(piece(chunk, range), {
          onFailure: (error) => {
            noteNow(chunk, error, now)
            return Effect.fail(error)
          },
          onSuccess: (bytes) => Effect.mapEager(exact(chunk, range, bytes.length, now), () => bytes)
        })
      }),
    read: (chunk, range) =>
      Stream.unwrap(
        Effect.map(Clock.currentTimeMillis, (now) => {
          const error = rejected(chunk, range, now)
          if (error !== undefined) return Stream.fail(error)
          let length = 0
          // Rechunked, because an array of several buffers would be sent only when all of them are read.
          const counted = Stream.map(Stream.rechunk(read(chunk, range), 1), (bytes) => {
            length += bytes.length
            return bytes
          })
          const check = Stream.suspend(() => Stream.fromEffectDrain(exact(chunk, range, length, now)))
          return Stream.concat(Stream.tapError(counted, note(chunk, now)), check)
        })
      )
  }
}
