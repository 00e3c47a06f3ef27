/** Permits, queues and bounds of a bulkhead. */
import { assert, it } from "@effect/vitest"
import { Cause, Deferred, Duration, Effect, Exit, Fiber, Logger, Metric, References } from "effect"
import { TestClock } from "effect/testing"
import { NestedRun } from "../../src/Bulkhead/Saturated.ts"
import { make } from "./support/TestBulkhead.ts"

const ticks = Effect.repeat(Effect.yieldNow, { times: 20 })

const start = <A, E>(effect: Effect.Effect<A, E>) => Effect.forkChild(effect, { startImmediately: true })

it.effect("runs as many effects as it has permits, and starts the next one when one ends", () =>
  Effect.gen(function* () {
    const bulkhead = yield* make({ permits: 3 })
    let active = 0
    let most = 0
    const job = Effect.gen(function* () {
      most = Math.max(most, ++active)
      yield* Effect.sleep("1 second")
      active--
    })
    const jobs = yield* Effect.forkChild(
      Effect.forEach([1, 2, 3, 4, 5, 6, 7], () => bulkhead.run("a")(job), { concurrency: "unbounded" })
    )
    yield* TestClock.adjust("1 second")
    const middle = yield* bulkhead.stats
    assert.deepStrictEqual([middle.active, middle.waiting], [3, 1])
    yield* TestClock.adjust("2 seconds")
    yield* Fiber.join(jobs)
    assert.strictEqual(most, 3)
    const stats = yield* bulkhead.stats
    assert.deepStrictEqual(stats, {
      permits: 3,
      active: 0,
      waiting: 0,
      waits: 4,
      waited: Duration.seconds(5),
      rejected: 0
    })
  })
)

it.effect("returns the result, failure or defect of the work, and releases the permit each time", () =>
  Effect.gen(function* () {
    const bulkhead = yield* make({})
    assert.strictEqual(yield* bulkhead.run("a")(Effect.succeed(1)), 1)
    assert.strictEqual(yield* Effect.flip(bulkhead.run("a")(Effect.fail("no"))), "no")
    const exit = yield* Effect.exit(bulkhead.run("a")(Effect.die("bug")))
    assert.isTrue(Exit.isFailure(exit) && Cause.hasDies(exit.cause))
    assert.strictEqual((yield* bulkhead.stats).active, 0)
  })
)

it.effect("serves a key that is always queued while other keys come and go", () =>
  Effect.gen(function* () {
    const bulkhead = yield* make({})
    const served: Array<string> = []
    const gate = yield* Deferred.make<void>()
    const job = (key: string) =>
      bulkhead.run(key)(
        Effect.andThen(
          Effect.sync(() => served.push(key)),
          Effect.yieldNow
        )
      )
    yield* start(bulkhead.run("gate")(Deferred.await(gate)))
    yield* start(Effect.forEach([1, 2, 3, 4, 5], () => job("slow"), { concurrency: "unbounded" }))
    for (const key of ["b", "c", "d"]) yield* start(Effect.forever(job(key)))
    yield* Deferred.succeed(gate, undefined)
    yield* Effect.whileLoop({ while: () => served.length < 30, body: () => Effect.yieldNow, step: () => {} })
    const turns = served.join(" ").split("slow")
    assert.isAbove(turns.length, 5)
    for (const others of turns.slice(0, 5).map((turn) => turn.trim().split(" "))) {
      assert.strictEqual(new Set(others).size, others.length, `served twice in one turn: ${others.join(" ")}`)
    }
  })
)

it.effect("runs no later arrival before an earlier waiter", () =>
  Effect.gen(function* () {
    const bulkhead = yield* make({})
    const served: Array<string> = []
    const job = (name: string) => bulkhead.run(name)(Effect.sync(() => served.push(name)))
    const first = yield* start(bulkhead.run("first")(Effect.sleep("1 second")))
    yield* start(job("second"))
    const context = yield* Effect.context<never>()
    first.addObserver(() => Effect.runForkWith(context)(job("third")))
    yield* TestClock.adjust("1 second")
    yield* ticks
    assert.deepStrictEqual(served, ["second", "third"])
  })
)

it.effect("rejects a caller when the queue or its key's share is full, and names the bound", () =>
  Effect.gen(function* () {
    const bulkhead = yield* make({ maxWaiting: 3, maxWaitingPerKey: 2 })
    const running = yield* start(bulkhead.run("a")(Effect.never))
    for (const key of ["a", "a"]) yield* start(bulkhead.run(key)(Effect.void))
    const expected = { bulkhead: "test", retryAfter: Duration.seconds(3) }
    const perKey = yield* Effect.flip(bulkhead.run("a")(Effect.void))
    assert.deepInclude(perKey, { ...expected, _tag: "Saturated", key: "a", limit: "waitingPerKey" })
    yield* start(bulkhead.run("b")(Effect.void))
    const inAll = yield* Effect.flip(bulkhead.run("c")(Effect.void))
    assert.deepInclude(inAll, { ...expected, _tag: "Saturated", key: "c", limit: "waiting" })
    const full = yield* bulkhead.stats
    assert.deepStrictEqual([full.waiting, full.rejected], [3, 2])
    yield* Fiber.interrupt(running)
    yield* ticks
    assert.strictEqual(yield* bulkhead.run("c")(Effect.succeed("room again")), "room again")
  })
)

it.effect("rejects every caller that would wait when the queue has no room", () =>
  Effect.gen(function* () {
    const bulkhead = yield* make({ maxWaiting: 0 })
    yield* start(bulkhead.run("a")(Effect.never))
    assert.strictEqual((yield* Effect.flip(bulkhead.run("a")(Effect.void)))._tag, "Saturated")
  })
)

it.effect("interrupts a waiting caller, but not the work of an uninterruptible one", () =>
  Effect.gen(function* () {
    const bulkhead = yield* make({})
    const running = yield* start(Effect.uninterruptible(bulkhead.run("a")(Effect.sleep("1 second"))))
    const waiting = yield* start(bulkhead.run("b")(Effect.void))
    yield* Fiber.interrupt(waiting)
    assert.strictEqual((yield* bulkhead.stats).waiting, 0)
    const interruption = yield* start(Fiber.interrupt(running))
    assert.strictEqual((yield* bulkhead.stats).active, 1)
    yield* TestClock.adjust("1 second")
    yield* Fiber.join(interruption)
    assert.strictEqual((yield* bulkhead.stats).active, 0)
  })
)

it.effect("lets an uninterruptible caller wait and run to the end", () =>
  Effect.gen(function* () {
    const bulkhead = yield* make({})
    const running = yield* start(bulkhead.run("a")(Effect.never))
    let ran = false
    const job = Effect.andThen(
      Effect.sleep("1 second"),
      Effect.sync(() => (ran = true))
    )
    const waiting = yield* start(Effect.uninterruptible(bulkhead.run("b")(job)))
    const interruption = yield* start(Fiber.interrupt(waiting))
    yield* Fiber.interrupt(running)
    yield* ticks
    assert.strictEqual((yield* bulkhead.stats).active, 1)
    yield* TestClock.adjust("1 second")
    yield* Fiber.join(interruption)
    assert.isTrue(ran)
  })
)

it.effect("hands permits to twenty thousand waiters without overflowing the stack, synchronous work included", () =>
  Effect.gen(function* () {
    const bulkhead = yield* make({ maxWaiting: 20_000, maxWaitingPerKey: 20_000 })
    const gate = yield* Deferred.make<void>()
    yield* start(bulkhead.run("gate")(Deferred.await(gate)))
    let ran = 0
    const jobs = yield* start(
      Effect.forEach(
        Array.from({ length: 20_000 }, (_, i) => `k${i % 7}`),
        (key) => bulkhead.run(key)(Effect.sync(() => ran++)),
        { concurrency: "unbounded", discard: true }
      )
    )
    assert.strictEqual((yield* bulkhead.stats).waiting, 20_000)
    yield* Deferred.succeed(gate, undefined)
    yield* Fiber.join(jobs)
    assert.strictEqual(ran, 20_000)
  })
)

const defectOf = <A, E>(effect: Effect.Effect<A, E>) =>
  Effect.map(Effect.exit(effect), (exit) =>
    Exit.isFailure(exit) ? exit.cause.reasons.flatMap((reason) => (reason._tag === "Die" ? [reason.defect] : [])) : []
  )

it.effect("dies with a named defect when work acquires a permit while it holds one", () =>
  Effect.gen(function* () {
    const bulkhead = yield* make({ name: "storage.read", permits: 5 })
    const inner = bulkhead.run("b")(Effect.void)
    const nested = {
      itself: inner,
      child: Effect.flatMap(Effect.forkChild(inner), Fiber.join),
      grandchild: Effect.flatMap(Effect.forkChild(Effect.flatMap(Effect.forkChild(inner), Fiber.join)), Fiber.join),
      "one of several": Effect.forEach([1, 2], () => inner, { concurrency: 2 })
    }
    for (const work of Object.values(nested)) {
      const [defect] = yield* defectOf(bulkhead.run("a")(work))
      assert.deepStrictEqual(defect, new NestedRun({ bulkhead: "storage.read" }))
      assert.include(String(defect), "storage.read")
    }
    assert.deepStrictEqual((yield* bulkhead.stats).active, 0)
  })
)

it.effect("ignores permits of other bulkheads and released permits", () =>
  Effect.gen(function* () {
    const outer = yield* make({})
    const inner = yield* make({})
    assert.strictEqual(yield* outer.run("a")(inner.run("a")(Effect.succeed("in both"))), "in both")
    const [defect] = yield* defectOf(outer.run("a")(inner.run("a")(outer.run("a")(Effect.void))))
    assert.instanceOf(defect, NestedRun)
    assert.strictEqual(yield* Effect.andThen(outer.run("a")(Effect.void), outer.run("a")(Effect.succeed(2))), 2)
    const late = yield* Deferred.make<void>()
    const survivor = yield* outer.run("a")(
      Effect.forkDetach(Effect.andThen(Deferred.await(late), outer.run("a")(Effect.succeed("alone"))))
    )
    yield* Deferred.succeed(late, undefined)
    assert.strictEqual(yield* Fiber.join(survivor), "alone")
  })
)

const values = Effect.map(Metric.snapshot, (all) =>
  Object.fromEntries(
    all.map(({ attributes, id, state }) => [
      `${id} ${attributes?.["bulkhead"]}`,
      "count" in state ? state.count : "value" in state ? state.value : undefined
    ])
  )
)

it.effect("exports permits, runs, waits and rejections as metrics while it exists", () =>
  Effect.gen(function* () {
    yield* Effect.scoped(
      Effect.gen(function* () {
        const bulkhead = yield* make({ name: "x", permits: 2, maxWaiting: 1 })
        yield* make({ name: "y" })
        const runs = yield* Effect.forEach([1, 2, 3], () => start(bulkhead.run("a")(Effect.sleep("3 seconds"))))
        yield* Effect.flip(bulkhead.run("a")(Effect.void))
        const full = yield* values
        assert.deepInclude(full, {
          "spillway_bulkhead_permits x": 2,
          "spillway_bulkhead_active x": 2,
          "spillway_bulkhead_waiting x": 1,
          "spillway_bulkhead_waits_total x": 1,
          "spillway_bulkhead_rejected_total x": 1,
          "spillway_bulkhead_permits y": 1,
          "spillway_bulkhead_active y": 0
        })
        yield* TestClock.adjust("6 seconds")
        yield* Fiber.joinAll(runs)
        const idle = yield* values
        assert.deepInclude(idle, {
          "spillway_bulkhead_active x": 0,
          "spillway_bulkhead_waiting x": 0,
          "spillway_bulkhead_waited_seconds_total x": 3
        })
      })
    )
    assert.deepStrictEqual(yield* values, {})
  }).pipe(Effect.provideService(Metric.MetricRegistry, new Map()))
)

it.effect("warns once a minute while work waits, and once after a rejection", () =>
  Effect.gen(function* () {
    const warnings: Array<unknown> = []
    const logger = Logger.make(({ fiber, logLevel, message }) => {
      if (logLevel === "Warn") warnings.push([message, fiber.getRef(References.CurrentLogAnnotations)].flat())
    })
    yield* Effect.gen(function* () {
      const bulkhead = yield* make({ name: "x", maxWaiting: 1 })
      yield* TestClock.adjust("10 minutes")
      assert.strictEqual(warnings.length, 0)
      const running = yield* start(bulkhead.run("a")(Effect.never))
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(warnings.length, 0)
      const waiting = yield* start(bulkhead.run("a")(Effect.void))
      yield* TestClock.adjust("2 minutes")
      assert.strictEqual(warnings.length, 2)
      for (let i = 0; i < 5; i++) yield* Effect.flip(bulkhead.run("b")(Effect.void))
      yield* Fiber.interrupt(waiting)
      yield* TestClock.adjust("10 minutes")
      assert.strictEqual(warnings.length, 3)
      assert.deepStrictEqual(warnings[2], [
        "a bulkhead is full",
        { bulkhead: "x", permits: 1, active: 1, waiting: 0, rejected: 5 }
      ])
      yield* Fiber.interrupt(running)
    }).pipe(Effect.provide(Logger.layer([logger])))
  })
)
