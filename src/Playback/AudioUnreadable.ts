/** Why a span of a conversation can't be played, and how long a damaged chunk stays rejected. */
import { Clock, Duration, Effect, Schema, Stream } from "effect"
import type { ChunkUnreadable, Recording } from "../Recording.ts"
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

type Read = Recording["Service"]["read"]

/**
 * Rejects reads of parts of a chunk whose checksum failed. The checksum covers the whole chunk, so a client that resumes
 * after the error would get damaged audio. A successful read of the whole chunk clears it.
 */
export function rejectDamaged(
  read: Read,
  { unreadableChunks, unreadableTime }: Pick<PlaybackConfig["Service"], "unreadableChunks" | "unreadableTime">
): Read {
  const known = new Map<string, { readonly until: number; readonly error: ChunkUnreadable }>()
  const add = (id: string, error: ChunkUnreadable, now: number) => {
    known.delete(id)
    known.set(id, { until: now + Duration.toMillis(unreadableTime), error })
    for (const [oldest] of known) if (known.size > unreadableChunks) known.delete(oldest)
  }
  return (chunk, range) =>
    Stream.unwrap(
      Effect.map(Clock.currentTimeMillis, (now) => {
        const { id, samples } = chunk
        const found = known.get(id)
        const isWhole = range.start === 0 && range.end === samples * 2
        if (found !== undefined && !isWhole && now < found.until) return Stream.fail(found.error)
        const bytes = Stream.tapError(read(chunk, range), (error) =>
          Effect.sync(() => error._tag === "ChunkUnreadable" && add(id, error, now))
        )
        return found === undefined
          ? bytes
          : Stream.onEnd(
              bytes,
              Effect.sync(() => known.delete(id))
            )
      })
    )
}
