/** Erases the chat of deleted streams, and timeouts that have ended. */
import { Duration, Effect, Layer } from "effect"
import * as BackgroundLoop from "../BackgroundLoop.ts"
import { Chat, ChatErasure } from "../Chat.ts"

/** Pause between two batches. */
const nextBatch = Duration.millis(100)

/** Pause after all rooms were compared with their streams. */
const nextRound = Duration.minutes(1)

const pruneEvery = Duration.minutes(1)

const erasure = Layer.effectDiscard(
  Effect.gen(function* () {
    const { eraseAfter, prune } = yield* ChatErasure
    let at = 0
    const round = Effect.suspend(() =>
      Effect.map(eraseAfter(at), (next) => {
        at = next ?? 0
        return next === undefined ? nextRound : nextBatch
      })
    )
    yield* BackgroundLoop.fork(round, {
      failed: "the chat of deleted streams could not be erased and is tried again",
      retryAfter: nextRound
    })
    yield* BackgroundLoop.every(pruneEvery, prune, "timeouts that have ended could not be removed")
  })
).pipe(Layer.provide(ChatErasure.layer))

/** With the service itself. */
export const layer = Layer.merge(erasure, Chat.layer)
