/** A bulkhead with the bounds from the settings. */
import { Effect } from "effect"
import * as Bulkhead from "./Bulkhead.ts"
import { BulkheadConfig } from "./BulkheadConfig.ts"

export const make = Effect.fnUntraced(function* (name: string, permits: "storageRead" | "storageWrite") {
  const config = yield* BulkheadConfig
  return yield* Bulkhead.make({
    name,
    permits: config[permits],
    maxWaiting: config.waiting,
    maxWaitingPerKey: config.waitingPerUser,
    retryAfter: config.retryAfter,
    warnEvery: config.warnEvery
  })
})
