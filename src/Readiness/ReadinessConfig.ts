/** Bounds of the readiness checks. */
import { Context } from "effect"
import * as Settings from "../Settings.ts"

const settings = {
  checkTimeout: Settings.constant(
    Settings.duration(
      "READY_TIMEOUT",
      "2 seconds",
      "Time for one readiness check; a slower one counts as failing, a slower store as one that can't be reached."
    )
  ),
  storeInterval: Settings.constant(
    Settings.duration(
      "READY_STORE_INTERVAL",
      "10 seconds",
      "Interval of the probes of the store. Requests for readiness don't cause one; they report the latest result."
    )
  )
}

export class ReadinessConfig extends Context.Service<ReadinessConfig, Settings.Values<typeof settings>>()(
  "spillway/Readiness/ReadinessConfig"
) {
  static readonly settings = settings
  static readonly layer = Settings.layer(this, settings)
}
