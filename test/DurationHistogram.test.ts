/** Durations as Prometheus reads them. */
import { assert, it } from "@effect/vitest"
import { Effect, Fiber, Metric } from "effect"
import { TestClock } from "effect/testing"
import * as DurationHistogram from "../src/DurationHistogram.ts"

it.effect("records durations in seconds, also of effects that fail", () =>
  Effect.gen(function* () {
    const histogram = DurationHistogram.make("test_wait_seconds", "Waits of this test")
    const work = Effect.andThen(Effect.sleep("2 seconds"), Effect.fail("late"))
    const fiber = yield* Effect.forkChild(Effect.exit(DurationHistogram.track(histogram)(work)))
    yield* TestClock.adjust("2 seconds")
    yield* Fiber.join(fiber)
    const { count, sum } = yield* Metric.value(histogram)
    assert.deepStrictEqual({ count, sum }, { count: 1, sum: 2 })
  })
)
