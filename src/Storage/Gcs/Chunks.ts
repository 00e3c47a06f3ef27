/** A body cut into chunks of one size, the last one shorter, of which one is in memory. */
import { Effect, Pull, Stream } from "effect"
import type { Scope } from "effect"
import type { NewObject, StorageRefused, StorageUnavailable } from "../../Storage.ts"
import * as GcsSent from "./Sent.ts"
import type * as Rules from "../Rules.ts"

export interface Chunk {
  readonly bytes: Uint8Array
  /** Bytes of the body from `start` to `end`, `end` not included. */
  readonly start: number
  readonly end: number
}

type NextChunk = Effect.Effect<Chunk, StorageUnavailable | StorageRefused>

/** Fails before the last chunk when the body is not of the announced size. After the last chunk, it is not asked again. */
export function make(
  at: Rules.At,
  body: NewObject["body"],
  size: number,
  chunkSize: number
): Effect.Effect<{ readonly next: NextChunk }, never, Scope.Scope> {
  return Effect.gen(function* () {
    const stream: Stream.Stream<Uint8Array, StorageUnavailable | StorageRefused> =
      body instanceof Uint8Array ? Stream.succeed(body) : body.stream
    const pull = yield* Stream.toPull(Stream.limitBytes(stream, size, () => Stream.fail(GcsSent.wrongSize(at, size))))
    let waiting: ReadonlyArray<Uint8Array> = []
    let start = 0

    const more = Pull.catchDone(
      Effect.map(pull, (pieces) => {
        waiting = pieces
        return true
      }),
      () => Effect.succeed(false)
    )

    const take = (bytes: Uint8Array, filled: number): number => {
      let at = filled
      while (at < bytes.length) {
        const [piece, ...rest] = waiting
        if (piece === undefined) break
        const taken = piece.subarray(0, bytes.length - at)
        bytes.set(taken, at)
        at += taken.length
        waiting = taken.length < piece.length ? [piece.subarray(taken.length), ...rest] : rest
      }
      return at
    }

    const next: NextChunk = Effect.gen(function* () {
      const bytes = Buffer.allocUnsafeSlow(Math.min(chunkSize, size - start))
      let filled = take(bytes, 0)
      while (filled < bytes.length) {
        if (!(yield* more)) return yield* GcsSent.wrongSize(at, size)
        filled = take(bytes, filled)
      }
      const chunk: Chunk = { bytes, start, end: start + filled }
      start = chunk.end
      // What is too much shows itself only when it is asked for.
      let isMore = start === size
      while (isMore) isMore = yield* more
      return chunk
    })
    return { next }
  })
}
