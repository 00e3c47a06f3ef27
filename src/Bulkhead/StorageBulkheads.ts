/** Bounds on concurrent reads from the object store, and on writes to it and deletions. The key is the uid. */
import { Context, Effect, Layer } from "effect"
import * as Bulkhead from "./Bulkhead.ts"
import { BulkheadConfig } from "./BulkheadConfig.ts"

export class StorageBulkheads extends Context.Service<
  StorageBulkheads,
  { readonly read: Bulkhead.Bulkhead; readonly write: Bulkhead.Bulkhead }
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
      return StorageBulkheads.of({
        read: yield* make("storage.read", config.storageRead),
        write: yield* make("storage.write", config.storageWrite)
      })
    })
  )
}
