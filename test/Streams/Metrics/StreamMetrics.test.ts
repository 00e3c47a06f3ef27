/** The cache of metrics: what it costs, what it holds, and what it evicts. */
import { assert, it } from "@effect/vitest"
import { Effect, Layer, Option } from "effect"
import { TestClock } from "effect/testing"
import { DbTimeout } from "../../../src/Db.ts"
import { Recording } from "../../../src/Recording.ts"
import { Audience } from "../../../src/Streams/Audience.ts"
import { LiveCaptures } from "../../../src/Streams/Broadcasts/LiveCaptures.ts"
import { MetricRows } from "../../../src/Streams/Metrics/MetricRows.ts"
import { StreamMetrics } from "../../../src/Streams/Metrics/StreamMetrics.ts"
import { StreamsConfig } from "../../../src/Streams/StreamsConfig.ts"
import { environment } from "../../support/Settings.ts"

const unused = () => assert.fail("is not called")

const world = (read: (slug: string) => Effect.Effect<Option.Option<never>, DbTimeout>) =>
  StreamMetrics.layerNoDeps.pipe(
    Layer.provide([
      Layer.mock(MetricRows, { read, write: () => Effect.void }),
      Layer.mock(LiveCaptures, { streams: () => [], find: () => undefined, revoke: () => {}, stop: () => {} }),
      Layer.mock(Audience, { counts: () => new Map() }),
      Layer.mock(Recording, { captures: () => [], journal: unused, uploads: unused }),
      StreamsConfig.layer.pipe(Layer.provide(environment({})))
    ])
  )

const counted = () => {
  const lookups: Array<string> = []
  const layer = world((slug) =>
    Effect.as(Effect.yieldNow, Option.none()).pipe(Effect.tap(() => Effect.sync(() => lookups.push(slug))))
  )
  return { lookups, layer }
}

const read = (slugs: ReadonlyArray<string>) =>
  StreamMetrics.use(({ get }) => Effect.forEach(slugs, get, { concurrency: "unbounded", discard: true }))

const named = (prefix: string, count: number) => Array.from({ length: count }, (_, n) => `${prefix}-${n}`)

it.effect("asks once for all who read at once, and again after three seconds", () => {
  const { layer, lookups } = counted()
  return Effect.gen(function* () {
    yield* read(Array(1_000).fill("one"))
    yield* TestClock.adjust("2900 millis")
    yield* read(["one"])
    assert.deepStrictEqual(lookups, ["one"])
    yield* TestClock.adjust("100 millis")
    yield* read(Array(1_000).fill("one"))
    assert.deepStrictEqual(lookups, ["one", "one"])
  }).pipe(Effect.provide(layer))
})

it.effect("evicts what has expired before what was read longest ago", () => {
  const { layer, lookups } = counted()
  return Effect.gen(function* () {
    const [older, newer] = [named("older", 500), named("newer", 500)]
    yield* read(older)
    yield* TestClock.adjust("1 second")
    yield* read(newer)
    yield* read(older)
    yield* TestClock.adjust("2500 millis")
    yield* read(["further"])
    lookups.length = 0
    yield* read(newer)
    assert.deepStrictEqual(lookups, [])
  }).pipe(Effect.provide(layer))
})

it.effect("holds a thousand streams and not one more", () => {
  const { layer, lookups } = counted()
  return Effect.gen(function* () {
    yield* read(named("many", 1_001))
    lookups.length = 0
    yield* read(["many-1"])
    assert.deepStrictEqual(lookups, [])
    yield* read(["many-0"])
    assert.deepStrictEqual(lookups, ["many-0"])
  }).pipe(Effect.provide(layer))
})

it.effect("tells a failure to all who waited for it, and asks again for the next one", () => {
  let count = 0
  const layer = world(() =>
    Effect.flatMap(Effect.yieldNow, () => {
      count++
      return Effect.fail(new DbTimeout({ operation: "MetricRows.read", limit: "statement" }))
    })
  )
  return Effect.gen(function* () {
    const { get } = yield* StreamMetrics
    const failures = yield* Effect.forEach([1, 2, 3], () => Effect.flip(get("one")), { concurrency: "unbounded" })
    assert.lengthOf(failures, 3)
    assert.strictEqual(count, 1)
    yield* Effect.flip(get("one"))
    assert.strictEqual(count, 2)
  }).pipe(Effect.provide(layer))
})
