/** A bulkhead of this node, as the settings have it. */
import { Effect } from "effect"
import * as Bulkhead from "./Bulkhead.ts"
import { BulkheadConfig } from "./BulkheadConfig.ts"

export const make = Effect.fnUntraced(function* (name: string, permits: "storageRead" | "storageWrite" | "precache") {
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
