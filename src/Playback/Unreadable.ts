/**
 * Chunks that could not be read are remembered. A part of one can't be compared with the sum of the whole: whoever was cut
 * off at a damaged chunk and asks for the rest of it would get it, damaged.
 */
import { Clock, Duration, Effect, Stream } from "effect"
import type { ChunkUnreadable, Recording } from "../Recording.ts"
import type { PlaybackConfig } from "./PlaybackConfig.ts"

type Read = Recording["Service"]["read"]

/** Parts of what is remembered fail as the whole did; the whole is read again, and forgotten if that succeeds. */
export function remembering(
  read: Read,
  { unreadableChunks, unreadableTime }: Pick<PlaybackConfig["Service"], "unreadableChunks" | "unreadableTime">
): Read {
  const known = new Map<string, { readonly until: number; readonly error: ChunkUnreadable }>()
  const remember = (id: string, error: ChunkUnreadable, now: number) => {
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
          Effect.sync(() => error._tag === "ChunkUnreadable" && remember(id, error, now))
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
