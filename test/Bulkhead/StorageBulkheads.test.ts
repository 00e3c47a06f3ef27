/** The store's bulkheads: their sizes, and who runs in which. */
import { assert, it } from "@effect/vitest"
import { Cause, Deferred, Effect, Exit, Fiber, Layer, Metric, Option } from "effect"
import { TestClock } from "effect/testing"
import { inBackground, Saturated, StorageBulkheads } from "../../src/Bulkhead.ts"
import { BulkheadConfig } from "../../src/Bulkhead/BulkheadConfig.ts"
import { NestedRun } from "../../src/Bulkhead/Saturated.ts"
import * as Settings from "../../src/Settings.ts"

const sized = (permits: number) =>
  StorageBulkheads.layer.pipe(
    Layer.provide(
      Layer.effect(
        BulkheadConfig,
        Effect.map(Settings.read(BulkheadConfig.settings), (values) => ({ ...values, storageRead: permits }))
      )
    ),
    Layer.provideMerge(Layer.sync(Metric.MetricRegistry, () => new Map()))
  )

const gauges = (name: string) =>
  Effect.map(Metric.snapshot, (all) =>
    Object.fromEntries(
      all.flatMap((metric) =>
        metric.id === name && metric.type === "Gauge"
          ? [[metric.attributes?.["bulkhead"] ?? "", Number(metric.state.value)]]
          : []
      )
    )
  )

for (const { background, permits } of [
  { permits: 32, background: 8 },
  { permits: 5, background: 2 },
  { permits: 1, background: 1 }
])
  it.effect(`has ${background} permits for reads in the background besides ${permits} for listeners`, () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* gauges("spillway_bulkhead_permits"), {
        "storage.read": permits,
        "storage.read.background": background,
        "storage.write": 16
      })
    }).pipe(Effect.provide(sized(permits)))
  )

it.effect("reads for a listener at once, however much is read in the background, forked reads included", () =>
  Effect.gen(function* () {
    const { read } = yield* StorageBulkheads
    const gate = yield* Deferred.make<void>()
    let running = 0
    let most = 0
    const job = Effect.gen(function* () {
      most = Math.max(most, ++running)
      yield* Deferred.await(gate)
      running--
    })
    const jobs = yield* Effect.forEach(Array.from({ length: 40 }), (_, i) => read.run(`u${i}`)(job), {
      concurrency: "unbounded"
    }).pipe(inBackground, Effect.forkChild)
    yield* TestClock.adjust(1)
    assert.deepStrictEqual(yield* gauges("spillway_bulkhead_active"), {
      "storage.read": 0,
      "storage.read.background": 4,
      "storage.write": 0
    })
    const heard = yield* Effect.forkChild(read.run("u0")(Effect.succeed("heard")))
    yield* TestClock.adjust(1)
    assert.deepStrictEqual(heard.pollUnsafe(), Exit.succeed("heard"))
    yield* Deferred.succeed(gate, undefined)
    yield* Fiber.join(jobs)
    assert.strictEqual(most, 4)
  }).pipe(Effect.provide(sized(16)))
)

it.effect("reads in the background at once while listeners use all of their permits", () =>
  Effect.gen(function* () {
    const { read } = yield* StorageBulkheads
    const listeners = yield* Effect.forkChild(
      Effect.forEach([1, 2, 3], (i) => read.run(`u${i}`)(Effect.never), { concurrency: "unbounded" })
    )
    yield* TestClock.adjust(1)
    const merged = yield* Effect.forkChild(inBackground(read.run("u1")(Effect.succeed("merged"))))
    yield* TestClock.adjust(1)
    assert.deepStrictEqual(merged.pollUnsafe(), Exit.succeed("merged"))
    yield* Fiber.interrupt(listeners)
  }).pipe(Effect.provide(sized(2)))
)

it.effect("names the bulkhead of the background in its rejections, and rejects a run inside a run there, too", () =>
  Effect.gen(function* () {
    const { read } = yield* StorageBulkheads
    const nested = yield* Effect.exit(inBackground(read.run("u")(read.run("u")(Effect.void))))
    assert.deepStrictEqual(
      Exit.isFailure(nested)
        ? nested.cause.reasons.flatMap((each) => (Cause.isDieReason(each) ? [each.defect] : []))
        : [],
      [new NestedRun({ bulkhead: "storage.read.background" })]
    )
    const stuck = yield* Effect.forkChild(
      Effect.forEach(Array.from({ length: 65 }), () => read.run("u")(Effect.never), { concurrency: "unbounded" }).pipe(
        inBackground
      )
    )
    yield* TestClock.adjust(1)
    const rejected = yield* Effect.flip(inBackground(read.run("u")(Effect.void)))
    assert.instanceOf(rejected, Saturated)
    assert.deepStrictEqual([rejected.bulkhead, rejected.limit], ["storage.read.background", "waitingPerKey"])
    assert.isTrue(Option.isSome(yield* Effect.option(read.run("u")(Effect.void))))
    yield* Fiber.interrupt(stuck)
  }).pipe(Effect.provide(sized(4)))
)

it.effect("reads in the background one at a time, with pauses, until a second after a listener's read", () =>
  Effect.gen(function* () {
    const { read } = yield* StorageBulkheads
    let running = 0
    let most = 0
    let done = 0
    const job = Effect.gen(function* () {
      most = Math.max(most, ++running)
      yield* Effect.sleep(4)
      running--
      done++
    })
    const jobs = (count: number) =>
      Effect.forEach(Array.from({ length: count }), (_, i) => read.run(`u${i}`)(job), {
        concurrency: "unbounded"
      }).pipe(inBackground, Effect.forkChild)
    yield* read.run("listener")(Effect.void)
    const yielding = yield* jobs(4)
    yield* TestClock.adjust(47)
    assert.deepStrictEqual([most, done], [1, 2])
    yield* TestClock.adjust(1_000)
    yield* Fiber.join(yielding)
    const alone = yield* jobs(4)
    yield* TestClock.adjust(4)
    assert.deepStrictEqual([most, done], [4, 8])
    yield* Fiber.join(alone)
  }).pipe(Effect.provide(sized(16)))
)
