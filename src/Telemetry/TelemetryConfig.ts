/** How the program logs. */
import { Context } from "effect"
import * as Settings from "../Settings.ts"

const settings = {
  format: Settings.choice(
    "SPILLWAY_LOG_FORMAT",
    "auto",
    ["auto", "pretty", "json"],
    "`pretty` for people, `json` for machines (one object a line); `auto` is `pretty` on a terminal, else `json`. Set it where `auto` chooses the wrong one."
  ),
  level: Settings.choice(
    "SPILLWAY_LOG_LEVEL",
    "Info",
    ["Trace", "Debug", "Info", "Warn", "Error", "Fatal", "None"],
    "Least severe level that is logged. Set `Debug` to investigate a fault, `Warn` for a quiet log."
  )
}

export class TelemetryConfig extends Context.Service<TelemetryConfig, Settings.Values<typeof settings>>()(
  "spillway/Telemetry/TelemetryConfig"
) {
  static readonly settings = settings
  static readonly layer = Settings.layer(this, settings)
}
