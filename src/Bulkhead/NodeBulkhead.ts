/** A bulkhead of this node, as the settings have it. */
import { Effect } from "effect"
import { make } from "./Bulkhead.ts"
import { BulkheadConfig } from "./BulkheadConfig.ts"

export const makeNode = Effect.fnUntraced(function* (
  name: string,
  permits: "storageRead" | "storageWrite" | "precache"
) {
  const config = yield* BulkheadConfig
  return yield* make({
    name,
    permits: config[permits],
    maxWaiting: config.waiting,
    maxWaitingPerKey: config.waitingPerUser,
    retryAfter: config.retryAfter,
    warnEvery: config.warnEvery
  })
})
