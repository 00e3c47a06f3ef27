/** Logs: pretty on a terminal, JSON lines for log collectors. */
import { Cause, Console, Context, Effect, Layer, Logger, Predicate, References } from "effect"
import { TelemetryConfig } from "./Telemetry/TelemetryConfig.ts"

export { TelemetryConfig } from "./Telemetry/TelemetryConfig.ts"

/** Whether standard output is a terminal, not a file or a log collector. */
export const Interactive = Context.Reference<boolean>("spillway/Telemetry/Interactive", {
  defaultValue: () => process.stdout.isTTY === true
})

const isText = (text: unknown): text is string => typeof text === "string" && text !== ""

/** The message of an error, followed by the messages of its causes that repeat none of it. */
const messageOf = (error: unknown): string => {
  if (!(error instanceof Error)) return String(error)
  const message = isText(error.message) ? error.message : error.name
  if (error.cause === undefined || error.cause === null) return message
  const inner = messageOf(error.cause)
  if (message.includes(inner)) return message
  return inner.startsWith(message) ? inner : `${message}: ${inner}`
}

const isExpected = (error: unknown): error is Error => error instanceof Error && Predicate.hasProperty(error, "_tag")

const toText = (part: unknown): unknown => (isExpected(part) ? messageOf(part) : part)

/** The typed failures of a cause, or nothing if it contains a defect or an interruption. */
const failures = (cause: Cause.Cause<unknown>): ReadonlyArray<unknown> =>
  cause.reasons.every((reason) => reason._tag === "Fail")
    ? cause.reasons.flatMap((reason) => (reason._tag === "Fail" ? [reason.error] : []))
    : []

/** Logs typed failures as one line of messages. Defects keep their stack traces and fields. */
export function layerLogger<Output>(logger: Logger.Logger<unknown, Output>) {
  return Logger.layer([
    Logger.make<unknown, Output>((options) => {
      const parts: ReadonlyArray<unknown> = Array.isArray(options.message) ? options.message : [options.message]
      const failed = failures(options.cause)
      const isFolded = failed.length > 0 || parts.some(isExpected)
      if (!isFolded) return logger.log(options)
      const all = [...parts.map(toText), ...failed.map(messageOf)]
      const message = all.every(isText) ? [all.join(": ")] : all
      return logger.log({ ...options, message, cause: failed.length > 0 ? Cause.empty : options.cause })
    })
  ])
}

export const layer = Layer.unwrap(
  Effect.gen(function* () {
    const { format, level } = yield* TelemetryConfig
    const pretty = format === "pretty" || (format === "auto" && (yield* Interactive))
    return Layer.mergeAll(
      layerLogger(pretty ? Logger.consolePretty() : Logger.consoleJson),
      Layer.succeed(References.MinimumLogLevel, level),
      // Nothing reads spans, and to create them is an eighth of the time of a short request.
      Layer.succeed(References.TracerEnabled, false)
    )
  })
)

/** Printed at every start, whatever the log level: as a plain line on a terminal, else as a log line. */
export const announce = Effect.fnUntraced(function* (line: string) {
  const logged = Effect.provideService(Effect.logInfo(line), References.MinimumLogLevel, "All")
  yield* (yield* Interactive) ? Console.log(line) : logged
})
