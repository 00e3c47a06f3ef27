/** Many deadlines on one timer. */
import { assert, it } from "@effect/vitest"
import { Deferred, Duration, Effect, Exit, Fiber } from "effect"
import { TestClock } from "effect/testing"
import * as Deadlines from "../src/Deadlines.ts"

const second = Duration.seconds(1)
const late = () => "late"

it.effect("passes on what ends in time, also at once", () =>
  Effect.gen(function* () {
    const deadlines = yield* Deadlines.make
    const fiber = yield* Effect.forkChild(
      Effect.all(
        [
          Deadlines.within(deadlines, Effect.as(Effect.sleep("900 millis"), "heard"), second, late),
          Effect.flip(Deadlines.within(deadlines, Effect.delay(Effect.fail("broken"), "900 millis"), second, late)),
          Deadlines.within(deadlines, Effect.succeed("at once"), second, late)
        ],
        { concurrency: 3 }
      )
    )
    yield* TestClock.adjust("900 millis")
    assert.deepStrictEqual(yield* Fiber.join(fiber), ["heard", "broken", "at once"])
  }).pipe(Effect.scoped)
)

it.effect("fails each one at its own time, and interrupts it", () =>
  Effect.gen(function* () {
    const deadlines = yield* Deadlines.make
    const ended: Array<number> = []
    const wait = (seconds: number) =>
      Effect.never.pipe(
        Effect.onInterrupt(() => Effect.sync(() => ended.push(seconds))),
        (work) => Deadlines.within(deadlines, work, Duration.seconds(seconds), late),
        Effect.flip,
        Effect.forkChild
      )
    const fibers = yield* Effect.forEach([3, 1, 2], wait)
    for (const [count, expected] of [[1], [1, 2], [1, 2, 3]].entries()) {
      yield* TestClock.adjust(second)
      assert.deepStrictEqual(ended, expected)
      assert.lengthOf(
        fibers.filter((fiber) => fiber.pollUnsafe() !== undefined),
        count + 1
      )
    }
    for (const fiber of fibers) assert.strictEqual(yield* Fiber.join(fiber), "late")
  }).pipe(Effect.scoped)
)

it.effect(
  "fails in time although the work can't be interrupted, and an interrupted caller waits until it has ended",
  () =>
    Effect.gen(function* () {
      const deadlines = yield* Deadlines.make
      const release = yield* Deferred.make<void>()
      const work = Effect.uninterruptible(Deferred.await(release))
      const failed = yield* Effect.forkChild(Effect.flip(Deadlines.within(deadlines, work, second, late)))
      const caller = yield* Effect.forkChild(Deadlines.within(deadlines, work, Duration.hours(1), late))
      yield* TestClock.adjust(second)
      assert.strictEqual(yield* Fiber.join(failed), "late")
      const interruption = yield* Effect.forkChild(Fiber.interrupt(caller))
      yield* TestClock.adjust(second)
      assert.isUndefined(interruption.pollUnsafe())
      yield* Deferred.succeed(release, undefined)
      yield* Fiber.join(interruption)
      assert.isTrue(Exit.hasInterrupts(yield* Fiber.await(caller)))
    }).pipe(Effect.scoped)
)
