/** `src/Webhooks/Breakers.ts` and its store: when an endpoint is spared, and that nothing keeps it spared for ever. */
import { assert, it } from "@effect/vitest"
import { Cause, Duration, Effect, Exit, Fiber, Schema } from "effect"
import { TestClock } from "effect/testing"
import * as BreakerStore from "../../src/Webhooks/BreakerStore.ts"
import { Breakers } from "../../src/Webhooks/Breakers.ts"

const key = "endpoint"

const call = <A, E>(effect: Effect.Effect<A, E>, endpoint = key) =>
  Breakers.use((breakers) => breakers.execute(effect, { key: endpoint }))

const fail = Effect.exit(call(Effect.fail("down")))

const stateOf = (endpoint = key) => Breakers.use((breakers) => Effect.map(breakers.state(endpoint), ({ _tag }) => _tag))

const open = Effect.repeat(fail, { times: 4 })

it.effect("opens after 5 failures in a row, for 30 seconds, and then admits one probe", () =>
  Effect.gen(function* () {
    yield* Effect.repeat(fail, { times: 3 })
    yield* call(Effect.void)
    yield* Effect.repeat(fail, { times: 3 })
    assert.strictEqual(yield* stateOf(), "Closed")
    yield* fail
    assert.strictEqual(yield* stateOf(), "Open")
    assert.strictEqual(yield* stateOf("another"), "Closed")
    yield* TestClock.adjust("29 seconds")
    assert.isTrue(Exit.isFailure(yield* Effect.exit(call(Effect.die("must not run")))))
    yield* TestClock.adjust("1 second")
    const probe = yield* Effect.forkChild(call(Effect.never))
    yield* Effect.yieldNow
    const second = yield* Effect.exit(call(Effect.die("must not run")))
    assert.isFalse(Exit.isFailure(second) && Cause.hasDies(second.cause))
    yield* Fiber.interrupt(probe)
    yield* call(Effect.void)
    assert.strictEqual(yield* stateOf(), "Closed")
  }).pipe(Effect.provide(Breakers.layer))
)

it.effect("opens again when the probe fails", () =>
  Effect.gen(function* () {
    yield* open
    yield* TestClock.adjust("30 seconds")
    yield* fail
    assert.strictEqual(yield* stateOf(), "Open")
  }).pipe(Effect.provide(Breakers.layer))
)

it.effect.prop(
  "frees the slot of a probe that is interrupted at any point",
  { yields: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 30 })) },
  Effect.fnUntraced(
    function* ({ yields }) {
      yield* open
      yield* TestClock.adjust("30 seconds")
      const probe = yield* Effect.forkChild(call(Effect.repeat(Effect.yieldNow, { times: 20 })))
      for (let count = 0; count < yields; count++) yield* Effect.yieldNow
      yield* Fiber.interrupt(probe)
      yield* call(Effect.void)
      assert.strictEqual(yield* stateOf(), "Closed")
    },
    (effect) => Effect.provide(effect, Breakers.layer, { local: true })
  ),
  { arbitrary: { runs: 60 } }
)

const trip = Effect.fnUntraced(function* (states: BreakerStore.BreakerStates, endpoint: string) {
  const { generation } = yield* states.admit(endpoint, 0)
  const tripPolicy = { _tag: "Consecutive", failures: 1 } as const
  states.record({ key: endpoint, generation, outcome: "Failure", tripPolicy, openFor: Duration.seconds(30) }, 0)
})

it.effect("holds 10,000 breakers, and forgets the one that was used longest ago", () =>
  Effect.gen(function* () {
    const states = new BreakerStore.BreakerStates()
    yield* trip(states, "first")
    assert.strictEqual(states.state("first", 1)._tag, "Open")
    for (let count = 0; count < BreakerStore.maxBreakers + 5_000; count++) yield* states.admit(`endpoint ${count}`, 1)
    assert.strictEqual(states.size, BreakerStore.maxBreakers)
    assert.strictEqual(states.state("first", 1)._tag, "Closed")
  })
)

it.effect("forgets breakers that were idle for an hour, open ones and those with a probe included", () =>
  Effect.gen(function* () {
    const states = new BreakerStore.BreakerStates()
    yield* trip(states, "open")
    yield* trip(states, "probing")
    yield* states.admit("probing", 31_000)
    assert.strictEqual(states.state("probing", 31_000)._tag, "HalfOpen")
    yield* states.admit("another", 31_000 + 3_600_000)
    assert.strictEqual(states.size, 1)
  })
)
