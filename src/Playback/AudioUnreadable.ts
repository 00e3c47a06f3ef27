/** Why a span of a conversation can't be played, and how long a damaged chunk stays rejected. */
import { Clock, Duration, Effect, Schema, Stream } from "effect"
import { BoundedMap } from "../BoundedMap.ts"
import type { Chunk, ChunkUnreadable, ReadError, Recording } from "../Recording.ts"
import type { PlaybackConfig } from "./PlaybackConfig.ts"

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

type Audio = Pick<Recording["Service"], "read" | "piece">
type Range = Parameters<Audio["read"]>[1]

/**
 * Rejects reads of parts of a chunk whose checksum failed. The checksum covers the whole chunk, so a client that resumes
 * after the error would get damaged audio. A successful read of the whole chunk clears it.
 */
export function rejectDamaged(
  { piece, read }: Audio,
  { unreadableChunks, unreadableTime }: Pick<PlaybackConfig["Service"], "unreadableChunks" | "unreadableTime">
): Audio {
  const known = new BoundedMap<{ readonly until: number; readonly error: ChunkUnreadable }>(unreadableChunks)
  const add = (id: string, error: ChunkUnreadable, now: number) => {
    known.set(id, { until: now + Duration.toMillis(unreadableTime), error })
  }
  const rejected = ({ id, samples }: Chunk, { end, start }: Range, now: number) => {
    const found = known.get(id)
    const isWhole = start === 0 && end === samples * 2
    return found !== undefined && !isWhole && now < found.until ? found.error : undefined
  }
  const note =
    ({ id }: Chunk, now: number) =>
    (error: ReadError) =>
      Effect.sync(() => error._tag === "ChunkUnreadable" && add(id, error, now))
  const isSound = ({ id }: Chunk) => Effect.sync(() => known.delete(id))
  return {
    piece: (chunk, range) =>
      Effect.flatMap(Clock.currentTimeMillis, (now) => {
        const error = rejected(chunk, range, now)
        if (error !== undefined) return Effect.fail(error)
        const bytes = Effect.tapError(piece(chunk, range), note(chunk, now))
        return known.get(chunk.id) !== undefined ? Effect.tap(bytes, () => isSound(chunk)) : bytes
      }),
    read: (chunk, range) =>
      Stream.unwrap(
        Effect.map(Clock.currentTimeMillis, (now) => {
          const error = rejected(chunk, range, now)
          if (error !== undefined) return Stream.fail(error)
          const bytes = Stream.tapError(read(chunk, range), note(chunk, now))
          return known.get(chunk.id) !== undefined ? Stream.onEnd(bytes, isSound(chunk)) : bytes
        })
      )
  }
}
