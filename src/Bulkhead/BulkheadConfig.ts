/** How much runs at the same time on this node, and how much may wait for it. */
import { Context } from "effect"
import * as Settings from "../Settings.ts"

const permits = { min: 1, max: 10_000 }
const waiters = { min: 0, max: 1_000_000 }

const settings = {
  storageRead: Settings.integer(
    "SPILLWAY_STORAGE_READ_PERMITS",
    32,
    permits,
    "Reads from the object store for listeners at the same time; more wait, the users taking turns. Background reads have a quarter as many permits besides. Raise it when many listen and the store has capacity left."
  ),
  storageWrite: Settings.integer(
    "SPILLWAY_STORAGE_WRITE_PERMITS",
    16,
    permits,
    "Writes to and removals from the object store at the same time; more wait, the users taking turns. Raise it together with SPILLWAY_UPLOADS."
  ),
  waiting: Settings.constant(
    Settings.integer(
      "BULKHEAD_WAITING",
      1_000,
      waiters,
      "Operations that may wait for a permit of one bulkhead; one more is rejected with 503."
    )
  ),
  waitingPerUser: Settings.constant(
    Settings.integer(
      "BULKHEAD_WAITING_PER_USER",
      64,
      waiters,
      "Operations of one user that may wait for a permit of one bulkhead; one more is rejected with 503."
    )
  ),
  retryAfter: Settings.constant(
    Settings.duration(
      "BULKHEAD_RETRY_AFTER",
      "1 second",
      "`Retry-After` of a rejection: permits become free within this time."
    )
  ),
  warnEvery: Settings.constant(
    Settings.duration("BULKHEAD_WARN_EVERY", "1 minute", "Interval of the warnings while a bulkhead is full.")
  )
}

export class BulkheadConfig extends Context.Service<BulkheadConfig, Settings.Values<typeof settings>>()(
  "spillway/Bulkhead/BulkheadConfig"
) {
  static readonly settings = settings
  static readonly layer = Settings.layer(this, settings)
}
