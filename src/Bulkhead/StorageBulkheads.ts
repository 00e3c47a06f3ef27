/** Bounds on concurrent reads from the object store, and on writes to it and deletions. The key is the uid. */
import { Context, Effect, Layer } from "effect"
import * as Bulkhead from "./Bulkhead.ts"
import { BulkheadConfig } from "./BulkheadConfig.ts"
import { Priority } from "./Priority.ts"

/** Permits of listeners' reads for each permit of background reads; at least one of these. */
const listenersShare = 4

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
      return StorageBulkheads.of({
        read: {
          run: (key) => (effect) =>
            Effect.withFiber((fiber) =>
              (fiber.getRef(Priority) === "background" ? background : interactive).run(key)(effect)
            )
        },
        write: yield* make("storage.write", config.storageWrite)
      })
    })
  )
}
