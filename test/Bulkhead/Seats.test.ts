/** Bounds on what stays open. */
import { assert, it } from "@effect/vitest"
import { ConfigProvider, Effect, Exit, Layer, Metric, Scope } from "effect"
import { Seats } from "../../src/Bulkhead.ts"
import { BulkheadConfig } from "../../src/Bulkhead/BulkheadConfig.ts"

const config = BulkheadConfig.layer.pipe(Layer.provide(ConfigProvider.layer(ConfigProvider.fromEnvRecord({}))))

const limits = { node: { limit: 3, setting: "IN_ALL" }, user: { limit: 2, setting: "OF_ONE" } }

/** Takes a seat and returns the effect that leaves it. */
const sit = Effect.fnUntraced(function* (seats: Seats.Seats, uid: string) {
  const scope = yield* Scope.make()
  yield* Scope.provide(seats.take(uid), scope)
  return { leave: Scope.close(scope, Exit.void) }
})

it.effect("rejects a user at the user's limit, and every user at the node's", () =>
  Effect.gen(function* () {
    const seats = yield* Seats.make("views", limits)
    const { leave } = yield* sit(seats, "ada")
    yield* sit(seats, "ada")
    const { limit, of, setting } = yield* Effect.flip(sit(seats, "ada"))
    assert.deepStrictEqual([of, limit, setting], ["user", 2, "OF_ONE"])
    yield* sit(seats, "grace")
    assert.strictEqual((yield* Effect.flip(sit(seats, "joan"))).of, "node")
    yield* leave
    yield* sit(seats, "joan")
    assert.strictEqual(seats.taken(), 3)
  }).pipe(Effect.provide(config))
)

it.effect("gives a seat at once, unless none is free, which counts as no rejection", () =>
  Effect.gen(function* () {
    const seats = yield* Seats.make("chairs", limits)
    const leave = seats.tryTake("ada")
    yield* sit(seats, "ada")
    assert.isUndefined(seats.tryTake("ada"))
    assert.isDefined(seats.tryTake("grace"))
    assert.isUndefined(seats.tryTake("joan"))
    leave?.()
    assert.isDefined(seats.tryTake("ada"))
    assert.strictEqual(seats.taken(), 3)
    const rejected = (yield* Metric.snapshot).find(
      ({ attributes, id }) => attributes?.["bulkhead"] === "chairs" && id === "spillway_bulkhead_rejected_total"
    )
    assert.deepStrictEqual(rejected?.state, { count: 0, incremental: true })
  }).pipe(Effect.provide(config))
)

it.effect("exports the seats that are taken, and counts rejections", () =>
  Effect.gen(function* () {
    const seats = yield* Seats.make("booths", limits)
    yield* sit(seats, "ada")
    yield* sit(seats, "ada")
    yield* Effect.flip(sit(seats, "ada"))
    const shown = (yield* Metric.snapshot).filter(({ attributes }) => attributes?.["bulkhead"] === "booths")
    const valueOf = (id: string) => {
      const state = shown.find((metric) => metric.id === `spillway_bulkhead_${id}`)?.state
      return state !== undefined && ("count" in state ? state.count : "value" in state && state.value)
    }
    assert.deepStrictEqual([valueOf("permits"), valueOf("active"), valueOf("rejected_total")], [3, 2, 1])
  }).pipe(Effect.provide(config))
)
