/** Logs: pretty for people, JSON lines for machines. */
import { Console, Effect, Layer, Logger, References } from "effect"
import { Attended } from "./Telemetry/Attended.ts"
import { TelemetryConfig } from "./Telemetry/TelemetryConfig.ts"
import * as Told from "./Telemetry/Told.ts"

export { Attended } from "./Telemetry/Attended.ts"
export { TelemetryConfig } from "./Telemetry/TelemetryConfig.ts"

export const layer = Layer.unwrap(
  Effect.gen(function* () {
    const { format, level } = yield* TelemetryConfig
    const pretty = format === "pretty" || (format === "auto" && (yield* Attended))
    return Layer.merge(
      Told.layerOf(pretty ? Logger.consolePretty() : Logger.consoleJson),
      Layer.succeed(References.MinimumLogLevel, level)
    )
  })
)

/** Something to know at every start, whatever the log's level: a line of the log, or a plain one for a person who looks on. */
export const announce = Effect.fnUntraced(function* (line: string) {
  const logged = Effect.provideService(Effect.logInfo(line), References.MinimumLogLevel, "All")
  yield* (yield* Attended) ? Console.log(line) : logged
})
