/** Log formats and levels, and how failures and defects are logged. */
import { assert, it } from "@effect/vitest"
import { Cause, ConfigProvider, Console, Effect, Layer, Logger, Schema, Tracer } from "effect"
import { StorageRefused, StorageUnavailable } from "../src/Storage.ts"
import { transient, translate } from "../src/Storage/Gcs/Fault.ts"
import * as Telemetry from "../src/Telemetry.ts"

/** The output of a program that logs at several levels, with these settings. */
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

class Inner extends Schema.TaggedError<Inner>()("Inner", { attempts: Schema.Int, cause: Schema.Defect() }) {}

/** The JSON line of a log. */
const lineOf = Effect.fnUntraced(function* (log: Effect.Effect<void>) {
  const lines: Array<string> = []
  const logger = Logger.map(Logger.formatJson, (line) => void lines.push(line))
  yield* Effect.provide(log, Telemetry.layerLogger(logger))
  assert.strictEqual(lines.length, 1)
  return JSON.parse(lines[0] ?? "")
})

const at = { operation: "put", bucket: "audio", key: "chunks/u/c/1.batch.bin" }
const refused = new StorageRefused({ ...at, reason: "no permission (403)" })
const away = translate(at)(transient("connect ECONNREFUSED 10.0.0.1:443"))

it.effect("appends an error's message without a stack or fields", () =>
  Effect.gen(function* () {
    const expected = "upload deferred: can't put audio/chunks/u/c/1.batch.bin: no permission (403)"
    for (const log of [
      Effect.logWarning("upload deferred", refused),
      Effect.logWarning("upload deferred", Cause.fail(refused))
    ]) {
      const line = yield* lineOf(Effect.annotateLogs(log, { key: at.key }))
      assert.strictEqual(line.message, expected)
      assert.isUndefined(line.cause)
      assert.deepStrictEqual(line.annotations, { key: at.key })
    }
    const { message } = yield* lineOf(Effect.logWarning("upload deferred", Cause.fail(away)))
    assert.strictEqual(
      message,
      "upload deferred: can't put audio/chunks/u/c/1.batch.bin: connect ECONNREFUSED 10.0.0.1:443"
    )
    assert.strictEqual((yield* lineOf(Effect.logError(refused))).message, refused.message)
  })
)

it.effect("shows an error without a message by its name and innermost reason", () =>
  Effect.gen(function* () {
    const cause = new Error("outer", { cause: new Error("the innermost") })
    const { message } = yield* lineOf(Effect.logWarning("no", new Inner({ attempts: 3, cause })))
    assert.strictEqual(message, "no: Inner: outer: the innermost")
    const repeated = new Error("query failed", { cause: new Error("query failed", { cause: new Error("reset") }) })
    assert.strictEqual(
      (yield* lineOf(Effect.logWarning("no", Cause.fail(repeated)))).message,
      "no: query failed: reset"
    )
    const nested = new StorageUnavailable({ ...at, cause: refused })
    assert.strictEqual((yield* lineOf(Effect.logWarning(nested))).message, nested.message)
  })
)

it.effect("keeps a defect's stack, and leaves other values unchanged", () =>
  Effect.gen(function* () {
    const bug = yield* lineOf(Effect.logError("broken", Cause.die(new Error("bug"))))
    assert.match(bug.cause, /Error: bug\n\s+at /)
    const both = Cause.combine(Cause.fail(refused), Cause.die(new Error("bug")))
    assert.match((yield* lineOf(Effect.logError("broken", both))).cause, /bug\n\s+at /)
    assert.deepStrictEqual((yield* lineOf(Effect.logInfo("a", { b: 1 }))).message, ["a", { b: 1 }])
    assert.deepStrictEqual((yield* lineOf(Effect.logInfo("a", refused, { b: 1 }))).message, [
      "a",
      refused.message,
      { b: 1 }
    ])
  })
)

it.effect("creates no spans", () =>
  Effect.gen(function* () {
    let spans = 0
    const tracer = Tracer.make({
      span: (options) => {
        spans++
        return new Tracer.NativeSpan(options)
      }
    })
    yield* Effect.withSpan(Effect.void, "request").pipe(
      Effect.provide(Telemetry.layer),
      Effect.provideService(Tracer.Tracer, tracer)
    )
    assert.strictEqual(spans, 0)
  }).pipe(Effect.provide(Telemetry.TelemetryConfig.layer))
)
