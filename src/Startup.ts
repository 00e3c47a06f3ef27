/** The steps of the start in progress. `/health/ready` reports them until routes are served. */
import { Context, Effect, Fiber } from "effect"

/** Sentences for operators, in the order in which the steps began. */
export const steps = Context.Reference<Set<string>>("spillway/Startup/steps", { defaultValue: () => new Set() })

/** A step that takes longer is logged, so that a slow start is not silent. */
const logAfter = "1 second"

/** Reports `step` while `effect` runs. */
export function during<A, E, R>(step: string, effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> {
  return Effect.flatMap(steps, (inProgress) =>
    Effect.acquireUseRelease(
      Effect.andThen(
        Effect.sync(() => inProgress.add(step)),
        Effect.forkChild(Effect.delay(Effect.logInfo(step), logAfter))
      ),
      () => effect,
      (log) =>
        Effect.andThen(
          Effect.sync(() => inProgress.delete(step)),
          Fiber.interrupt(log)
        )
    )
  )
}
