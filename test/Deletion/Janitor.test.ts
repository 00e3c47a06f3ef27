/** When the janitor deletes, by the test's clock. */
import { assert, describe, it } from "@effect/vitest"
import { Context, Deferred, Duration, Effect, Exit, Layer, Logger, Metric, Ref, Scope } from "effect"
import { TestClock } from "effect/testing"
import { Deletion } from "../../src/Deletion.ts"
import { Tombstones } from "../../src/Deletion/Tombstones.ts"
import { Storage, StorageUnavailable } from "../../src/Storage.ts"
import { exists, layer, node, put, Removals, shared } from "./support/Memory.ts"
import * as MemoryTombstones from "./support/MemoryTombstones.ts"

const schedule = (key: string, after: Duration.Input) =>
  Effect.gen(function* () {
    const object = yield* put(key)
    yield* (yield* Deletion).schedule([object], { after: Duration.fromInputUnsafe(after) })
    return object
  })

const removed = Effect.map(Removals, ({ keys }) => [...keys])
const instead = (remove: ((key: string) => Effect.Effect<void, StorageUnavailable>) | undefined) =>
  Effect.flatMap(Removals, (removals) => Ref.set(removals.instead, remove))

const unavailable = (key: string) =>
  Effect.fail(new StorageUnavailable({ operation: "remove", bucket: "memory", key, cause: new Error("away") }))

const quiet = Logger.layer([])

describe("The janitor", () => {
  it.effect("deletes in the order in which tombstones are due, not in which they were scheduled", () =>
    Effect.gen(function* () {
      yield* schedule("third", "3 minutes")
      yield* schedule("first", "1 minute")
      yield* schedule("second", "2 minutes")
      yield* TestClock.adjust("59 seconds")
      assert.deepStrictEqual(yield* removed, [])
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(yield* removed, ["first"])
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(yield* removed, ["first", "second"])
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(yield* removed, ["first", "second", "third"])
      assert.isFalse(yield* exists("first"))
      assert.strictEqual((yield* (yield* Deletion).backlog).pending, 0)
    }).pipe(Effect.provide(layer))
  )

  it.effect("wakes at once for a tombstone that is due before what it waits for", () =>
    Effect.gen(function* () {
      yield* schedule("later", "4 seconds")
      yield* TestClock.adjust("10 millis")
      yield* schedule("sooner", "2 seconds")
      yield* schedule("now", 0)
      yield* TestClock.adjust("1 millis")
      assert.deepStrictEqual(yield* removed, ["now"])
      yield* TestClock.adjust("2 seconds")
      assert.deepStrictEqual(yield* removed, ["now", "sooner"])
      yield* TestClock.adjust("2 seconds")
      assert.deepStrictEqual(yield* removed, ["now", "sooner", "later"])
    }).pipe(Effect.provide(layer))
  )

  it.effect("finds within five seconds what another node has scheduled", () =>
    Effect.gen(function* () {
      yield* TestClock.adjust("1 minute")
      const object = yield* put("elsewhere")
      yield* (yield* Tombstones).schedule([object], Duration.zero, Effect.void)
      yield* TestClock.adjust("5 seconds")
      assert.deepStrictEqual(yield* removed, ["elsewhere"])
    }).pipe(Effect.provide(layer))
  )

  it.effect("does not delete what was scheduled again for later, cancelled, or stored again under the same key", () =>
    Effect.gen(function* () {
      const deletion = yield* Deletion
      const storage = yield* Storage
      const moved = yield* schedule("moved", "10 seconds")
      const cancelled = yield* schedule("cancelled", "10 seconds")
      const replaced = yield* schedule("replaced", "10 seconds")
      yield* deletion.schedule([moved], { after: Duration.minutes(1) })
      assert.strictEqual(yield* deletion.cancel([cancelled]), 1)
      yield* storage.remove(replaced.key)
      yield* put("replaced", "another body")
      yield* TestClock.adjust("30 seconds")
      assert.deepStrictEqual(yield* removed, ["replaced", "replaced"])
      assert.deepStrictEqual(
        [yield* exists("moved"), yield* exists("cancelled"), yield* exists("replaced")],
        [true, true, true]
      )
      yield* TestClock.adjust("1 minute")
      assert.isFalse(yield* exists("moved"))
    }).pipe(Effect.provide(layer))
  )

  it.effect(
    "retries a deletion that fails with backoff, gives it up after 20 failures, and deletes it when it is retried",
    () =>
      Effect.gen(function* () {
        const deletion = yield* Deletion
        yield* instead(unavailable)
        yield* schedule("stubborn", 0)
        yield* TestClock.adjust("1 millis")
        assert.strictEqual((yield* removed).length, 1)
        yield* TestClock.adjust("1 second")
        assert.strictEqual((yield* removed).length, 2)
        yield* TestClock.adjust("1900 millis")
        assert.strictEqual((yield* removed).length, 2)
        yield* TestClock.adjust("200 millis")
        assert.strictEqual((yield* removed).length, 3)
        yield* TestClock.adjust("12 hours")
        assert.strictEqual((yield* removed).length, 20)
        const [dead] = (yield* deletion.list({ state: "dead", limit: 10 })).tombstones
        assert.deepStrictEqual([dead?.key, dead?.attempts], ["stubborn", 20])
        assert.match(dead?.lastError ?? "", /can't remove memory\/stubborn: away/)
        yield* instead(undefined)
        assert.isTrue(yield* deletion.retry(dead?.id ?? ""))
        yield* TestClock.adjust("5 seconds")
        assert.isFalse(yield* exists("stubborn"))
      }).pipe(Effect.provide([layer, quiet]))
  )

  it.effect("fails a deletion that takes 30 seconds, and deletes everything else meanwhile", () =>
    Effect.gen(function* () {
      yield* instead((key) => (key === "hanging" ? Effect.never : Effect.void))
      const objects = yield* Effect.forEach(["hanging", ...Array.from({ length: 600 }, (_, n) => `o${n}`)], (key) =>
        put(key)
      )
      yield* (yield* Deletion).schedule(objects, { after: Duration.zero })
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* removed).length, 601)
      assert.strictEqual((yield* (yield* Deletion).backlog).pending, 1)
      yield* put("next")
      yield* (yield* Deletion).schedule([{ key: "next", generation: "g", uid: "u" }], { after: Duration.zero })
      yield* TestClock.adjust("28 seconds")
      assert.strictEqual((yield* removed).at(-1), "next")
      assert.strictEqual((yield* (yield* Deletion).list({ state: "pending", limit: 1 })).tombstones[0]?.attempts, 0)
      yield* TestClock.adjust("1 second")
      const [hanging] = (yield* (yield* Deletion).list({ state: "pending", limit: 1 })).tombstones
      assert.deepStrictEqual([hanging?.attempts, hanging?.key], [1, "hanging"])
      assert.strictEqual((yield* removed).filter((key) => key === "hanging").length, 1, "no other node claimed it")
    }).pipe(Effect.provide([layer, quiet]))
  )

  it.effect("counts a defect of the store, whatever it throws, as a failure of the one object", () =>
    Effect.gen(function* () {
      const defects = new Map<string, unknown>([
        ["broken", new Error("a defect")],
        ["odd", Object.create(null)]
      ])
      yield* instead((key) => (defects.has(key) ? Effect.die(defects.get(key)) : Effect.void))
      for (const key of ["a", "broken", "odd", "b"]) yield* schedule(key, 0)
      yield* TestClock.adjust("10 millis")
      const { tombstones } = yield* (yield* Deletion).list({ state: "pending", limit: 10 })
      assert.deepStrictEqual(
        tombstones.map(({ attempts, key, lastError }) => [key, attempts, lastError]),
        [
          ["broken", 1, "a defect"],
          ["odd", 1, "{}"]
        ]
      )
    }).pipe(Effect.provide([layer, quiet]))
  )

  it.effect("continues after a defect of its own", () => {
    let claims = 0
    const dying = Layer.effect(
      Tombstones,
      Effect.map(Tombstones, (tombstones) =>
        Tombstones.of({
          ...tombstones,
          claim: (limit) => (++claims <= 2 ? Effect.die(new Error("a defect")) : tombstones.claim(limit)),
          backlog: Effect.die(new Error("another"))
        })
      )
    ).pipe(Layer.provide(MemoryTombstones.layer))
    return Effect.gen(function* () {
      yield* (yield* Deletion).schedule([{ key: "k", generation: "1", uid: "u" }], { after: Duration.zero })
      yield* TestClock.adjust("9 seconds")
      assert.deepStrictEqual([claims, yield* removed], [2, []])
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(yield* removed, ["k"])
    }).pipe(Effect.provide([node.pipe(Layer.provideMerge(shared(dying))), quiet]))
  })

  it.effect("holds no fiber for a pending tombstone", () =>
    Effect.gen(function* () {
      const fibers = Effect.map(Metric.snapshot, (all) => all.find(({ id }) => id === "child_fibers_active")?.state)
      yield* TestClock.adjust("1 second")
      const before = yield* fibers
      assert.isDefined(before)
      for (let n = 0; n < 200; n++) yield* schedule(`k${n}`, `${n + 10} seconds`)
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(yield* fibers, before)
      yield* TestClock.adjust("4 minutes")
      assert.strictEqual((yield* removed).length, 200)
    }).pipe(Effect.provide([layer, Metric.enableRuntimeMetricsLayer]))
  )

  it.effect("ends with its scope, and leaves what it was deleting to the lease", () =>
    Effect.gen(function* () {
      const begun = yield* Deferred.make<void>()
      yield* instead(() => Effect.andThen(Deferred.done(begun, Exit.void), Effect.never))
      const start = Effect.gen(function* () {
        const scope = yield* Scope.make()
        const deletion = Context.get(yield* Layer.buildWithScope(Layer.fresh(node), scope), Deletion)
        return { deletion, stop: Scope.close(scope, Exit.void) }
      })
      const first = yield* start
      yield* first.deletion.schedule([yield* put("k")], { after: Duration.zero })
      yield* Deferred.await(begun)
      yield* first.stop
      yield* instead(undefined)
      yield* start
      yield* TestClock.adjust("11 seconds")
      assert.isTrue(yield* exists("k"))
      yield* TestClock.adjust("1 second")
      assert.isFalse(yield* exists("k"))
    }).pipe(Effect.provide(shared()))
  )
})
