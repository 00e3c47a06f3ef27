/** What is logged, and how it looks. */
import { assert, it } from "@effect/vitest"
import { ConfigProvider, Console, Effect, Layer } from "effect"
import * as Telemetry from "../../src/Telemetry.ts"

/** What a program that logs at four levels prints with these settings. */
const printed = Effect.fnUntraced(function* (env: Record<string, string>) {
  const lines: Array<string> = []
  const note = (...parts: ReadonlyArray<unknown>) => void lines.push(parts.map(String).join(" "))
  const logging = Telemetry.layer.pipe(
    Layer.provide(Layer.fresh(Telemetry.TelemetryConfig.layer)),
    Layer.provide(ConfigProvider.layer(ConfigProvider.fromEnvRecord(env)))
  )
  yield* Effect.all([
    Effect.logDebug("a debug"),
    Effect.logInfo("an info").pipe(Effect.annotateLogs({ uid: "ada" })),
    Effect.logWarning("a warning")
  ]).pipe(
    Effect.provide(logging),
    Effect.updateService(Console.Console, (console) => ({
      ...console,
      log: note,
      error: note,
      warn: note,
      info: note,
      debug: note
    }))
  )
  return lines
})

it.effect("writes one JSON object a line with its annotations", () =>
  Effect.gen(function* () {
    const lines = yield* printed({ SPILLWAY_LOG_FORMAT: "json" })
    const parsed = lines.map((line) => JSON.parse(line))
    assert.deepStrictEqual(
      parsed.map(({ message }) => message),
      ["an info", "a warning"]
    )
    assert.strictEqual(parsed[0].annotations.uid, "ada")
  })
)

it.effect("logs nothing below the level", () =>
  Effect.gen(function* () {
    assert.strictEqual((yield* printed({ SPILLWAY_LOG_FORMAT: "json", SPILLWAY_LOG_LEVEL: "Warn" })).length, 1)
    assert.strictEqual((yield* printed({ SPILLWAY_LOG_FORMAT: "json", SPILLWAY_LOG_LEVEL: "Debug" })).length, 3)
  })
)

it.effect("writes no JSON in the pretty format", () =>
  Effect.gen(function* () {
    const [first = ""] = yield* printed({ SPILLWAY_LOG_FORMAT: "pretty" })
    assert.include(first, "an info")
    assert.throws(() => JSON.parse(first))
  })
)
