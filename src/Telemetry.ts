/** Logs: pretty on a terminal, JSON lines for log collectors. */
import { Console, Effect, Layer, Logger, References } from "effect"
import { Interactive } from "./Telemetry/Interactive.ts"
import { TelemetryConfig } from "./Telemetry/TelemetryConfig.ts"
import * as FailureFormat from "./Telemetry/FailureFormat.ts"

export { Interactive } from "./Telemetry/Interactive.ts"
export { TelemetryConfig } from "./Telemetry/TelemetryConfig.ts"

export const layer = Layer.unwrap(
  Effect.gen(function* () {
    const { format, level } = yield* TelemetryConfig
    const pretty = format === "pretty" || (format === "auto" && (yield* Interactive))
    return Layer.merge(
      FailureFormat.layerOf(pretty ? Logger.consolePretty() : Logger.consoleJson),
      Layer.succeed(References.MinimumLogLevel, level)
    )
  })
)

/** Printed at every start, whatever the log level: as a plain line on a terminal, else as a log line. */
export const announce = Effect.fnUntraced(function* (line: string) {
  const logged = Effect.provideService(Effect.logInfo(line), References.MinimumLogLevel, "All")
  yield* (yield* Interactive) ? Console.log(line) : logged
})
