/** No interruption or failure leaks a permit or a queue slot of `src/Bulkhead/Bulkhead.ts`. */
import { assert, it } from "@effect/vitest"
import { Cause, Effect, Exit, Fiber, References, Schema } from "effect"
import { TestClock } from "effect/testing"
import type { Saturated } from "../../src/Bulkhead.ts"
import { make } from "./support/TestBulkhead.ts"

const upTo = (maximum: number) => Schema.Int.check(Schema.isBetween({ minimum: 0, maximum }))

const Step = Schema.Struct({
  do: Schema.Literals(["start", "start", "start", "interrupt", "interrupt", "advance", "tick"]),
  key: Schema.Literals(["a", "b", "c"]),
  which: upTo(20),
  length: upTo(3),
  isHurried: Schema.Boolean
})

const Program = {
  steps: Schema.Array(Step).check(Schema.isBetweenLength(10, 50)),
  permits: Schema.Literals([1, 2, 3]),
  /** After this many operations a fiber yields, so that it can be interrupted at that point. */
  operations: Schema.Literals([3, 4, 5, 7, 2_048])
}

it.effect.prop(
  "settles every run, never exceeds its permits, and has all of them at the end",
  Program,
  Effect.fnUntraced(function* ({ operations, permits, steps }) {
    const bulkhead = yield* make({ permits, maxWaiting: 6, maxWaitingPerKey: 4 })
    let active = 0
    const fibers: Array<Fiber.Fiber<void, Saturated | "failed">> = []

    const work = (step: typeof Step.Type) =>
      Effect.acquireUseRelease(
        Effect.sync(() => {
          active++
          assert.isAtMost(active, permits)
        }),
        () => {
          if (step.length > 0) return Effect.sleep(step.length)
          // Work that ends synchronously, or ends another run, while a permit is handed over.
          const other = fibers[step.which]
          return step.isHurried
            ? Effect.sync(() => other?.interruptUnsafe())
            : Effect.andThen(Effect.yieldNow, Effect.fail("failed" as const))
        },
        () => Effect.sync(() => active--)
      )

    for (const step of steps) {
      if (step.do === "start") {
        const run = Effect.provideService(bulkhead.run(step.key)(work(step)), References.MaxOpsBeforeYield, operations)
        fibers.push(yield* Effect.forkChild(run, { startImmediately: step.isHurried }))
      } else if (step.do === "interrupt") {
        const fiber = fibers[step.which]
        if (step.isHurried) fiber?.interruptUnsafe()
        else if (fiber !== undefined) yield* Fiber.interrupt(fiber)
      } else if (step.do === "advance") yield* TestClock.adjust(step.length)
      else yield* Effect.yieldNow
      const stats = yield* bulkhead.stats
      assert.isAtLeast(stats.active, active)
      assert.isAtMost(stats.active, permits)
      assert.isAtMost(stats.waiting, 6)
    }
    for (let i = 0; i < 1_000 && fibers.some((fiber) => fiber.pollUnsafe() === undefined); i++) {
      yield* TestClock.adjust("1 millis")
    }
    const exits = fibers.map((fiber) => fiber.pollUnsafe())
    assert.notInclude(exits, undefined, "a run does not end")
    const reasons = exits.flatMap((exit) => (exit !== undefined && Exit.isFailure(exit) ? exit.cause.reasons : []))
    assert.deepStrictEqual(reasons.filter(Cause.isDieReason), [])
    const saturated = reasons.filter(Cause.isFailReason).filter(({ error }) => error !== "failed")
    const { rejected, waited: _, waits: __, ...rest } = yield* bulkhead.stats
    assert.deepStrictEqual(rest, { permits, active: 0, waiting: 0 })
    // A caller that is interrupted while it is rejected ends as interrupted.
    assert.isAtLeast(rejected, saturated.length)

    const all = yield* Effect.forEach(Array.from({ length: permits }), () =>
      Effect.forkChild(bulkhead.run("a")(Effect.never), { startImmediately: true })
    )
    assert.deepInclude(yield* bulkhead.stats, { active: permits, waiting: 0 })
    yield* Fiber.interruptAll(all)
  }, Effect.scoped),
  { arbitrary: { runs: 400 } }
)
