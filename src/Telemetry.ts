/** Logs: pretty for people, JSON lines for machines. */
import { Effect, Layer, Logger, References } from "effect"
import { TelemetryConfig } from "./Telemetry/TelemetryConfig.ts"

export { TelemetryConfig } from "./Telemetry/TelemetryConfig.ts"

export const layer = Layer.unwrap(
  Effect.gen(function* () {
    const { format, level } = yield* TelemetryConfig
    const pretty = format === "pretty" || (format === "auto" && process.stdout.isTTY)
    return Layer.merge(
      Logger.layer([pretty ? Logger.consolePretty() : Logger.consoleJson]),
      Layer.succeed(References.MinimumLogLevel, level)
    )
  })
)
