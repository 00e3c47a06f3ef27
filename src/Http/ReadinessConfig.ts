/** Bounds of the readiness checks. */
import { Context } from "effect"
import * as Settings from "../Settings.ts"

const settings = {
  checkTimeout: Settings.duration(
    "SPILLWAY_READY_TIMEOUT",
    "2 seconds",
    "Time for one readiness check; a slower one counts as failing."
  )
}

export class ReadinessConfig extends Context.Service<ReadinessConfig, Settings.Values<typeof settings>>()(
  "spillway/Http/ReadinessConfig"
) {
  static readonly settings = settings
  static readonly layer = Settings.layer(this, settings)
}
