/** Bounds on concurrent reads from the object store, and on writes to it and deletions. The key is the uid. */
import { Clock, Context, Duration, Effect, Layer, Semaphore } from "effect"
import * as Bulkhead from "./Bulkhead.ts"
import { BulkheadConfig } from "./BulkheadConfig.ts"
import { Priority } from "./Priority.ts"

/** Permits of listeners' reads for each permit of background reads; at least one of these. */
const listenersShare = 4

/** Milliseconds after a listener's read in which background reads run one at a time, with pauses. */
const yieldingMillis = 1_000

/** Pause after a background read, as a multiple of it, and its bound. */
const pauses = 8
const maxPause = Duration.millis(30)

/** Leaves the processors, the disk and the network to listeners: permits of their own do not. */
const yielding = Effect.gen(function* () {
  const clock = yield* Clock.Clock
  const turn = yield* Semaphore.make(1)
  let listenedAt = -Infinity
  const paced = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
    Effect.flatMap(Effect.timed(effect), ([duration, result]) =>
      Effect.as(Effect.sleep(Duration.min(Duration.times(duration, pauses), maxPause)), result)
    )
  return {
    note: () => {
      listenedAt = clock.currentTimeMillisUnsafe()
    },
    run: <A, E, R>(effect: Effect.Effect<A, E, R>) =>
      Effect.suspend(() =>
        clock.currentTimeMillisUnsafe() - listenedAt < yieldingMillis ? turn.withPermits(1)(paced(effect)) : effect
      )
  }
})

export class StorageBulkheads extends Context.Service<
  StorageBulkheads,
  {
    /** In `storage.read`, or for background work in `storage.read.background`. */
    readonly read: Pick<Bulkhead.Bulkhead, "run">
    readonly write: Pick<Bulkhead.Bulkhead, "run">
  }
>()("spillway/Bulkhead/StorageBulkheads") {
  static readonly layer = Layer.effect(
    StorageBulkheads,
    Effect.gen(function* () {
      const config = yield* BulkheadConfig
      const make = (name: string, permits: number) =>
        Bulkhead.make({
          name,
          permits,
          maxWaiting: config.waiting,
          maxWaitingPerKey: config.waitingPerUser,
          retryAfter: config.retryAfter,
          warnEvery: config.warnEvery
        })
      const interactive = yield* make("storage.read", config.storageRead)
      const background = yield* make("storage.read.background", Math.ceil(config.storageRead / listenersShare))
      const { note, run } = yield* yielding
      return StorageBulkheads.of({
        read: {
          run: (key) => (effect) =>
            Effect.withFiber((fiber) => {
              if (fiber.getRef(Priority) === "background") return background.run(key)(run(effect))
              note()
              return interactive.run(key)(effect)
            })
        },
        write: yield* make("storage.write", config.storageWrite)
      })
    })
  )
}
