/** A failure that was expected is one line with what an operator needs, wherever in a log it is; a bug is shown in full. */
import { assert, it } from "@effect/vitest"
import { Cause, Effect, Logger, Schema } from "effect"
import { StorageRefused, StorageUnavailable } from "../../src/Storage.ts"
import { transient, translate } from "../../src/Storage/Gcs/Fault.ts"
import * as Telemetry from "../../src/Telemetry.ts"

class Inner extends Schema.TaggedError<Inner>()("Inner", { attempts: Schema.Int, cause: Schema.Defect() }) {}

/** What a JSON line says, the moment and the fiber aside. */
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
    const said = "put off: can't put audio/chunks/u/c/1.batch.bin: no permission (403)"
    for (const log of [Effect.logWarning("put off", refused), Effect.logWarning("put off", Cause.fail(refused))]) {
      const line = yield* lineOf(Effect.annotateLogs(log, { key: at.key }))
      assert.strictEqual(line.message, said)
      assert.isUndefined(line.cause)
      assert.deepStrictEqual(line.annotations, { key: at.key })
    }
    const { message } = yield* lineOf(Effect.logWarning("put off", Cause.fail(away)))
    assert.strictEqual(message, "put off: can't put audio/chunks/u/c/1.batch.bin: connect ECONNREFUSED 10.0.0.1:443")
    assert.strictEqual((yield* lineOf(Effect.logError(refused))).message, refused.message)
  })
)

it.effect("shows an error without a message by its name and innermost reason", () =>
  Effect.gen(function* () {
    const cause = new Error("outer", { cause: new Error("the innermost") })
    const { message } = yield* lineOf(Effect.logWarning("no", new Inner({ attempts: 3, cause })))
    assert.strictEqual(message, "no: Inner: outer: the innermost")
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
