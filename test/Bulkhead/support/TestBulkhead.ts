/** Small bulkheads for tests. */
import { Duration } from "effect"
import * as Bulkhead from "../../../src/Bulkhead/Bulkhead.ts"

export const make = (options: Partial<Bulkhead.Options>) =>
  Bulkhead.make({
    name: "test",
    permits: 1,
    maxWaiting: 100,
    maxWaitingPerKey: 100,
    retryAfter: Duration.seconds(3),
    warnEvery: Duration.minutes(1),
    ...options
  })
