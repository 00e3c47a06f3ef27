/** The steps of the start in progress. `/health/ready` reports them until routes are served. */
import { Context, Effect } from "effect"

/** Sentences for operators, in the order in which the steps began. */
export const steps = Context.Reference<Set<string>>("spillway/Startup/steps", { defaultValue: () => new Set() })

/** Reports `step` while `effect` runs. */
export function during<A, E, R>(step: string, effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> {
  return Effect.flatMap(steps, (inProgress) =>
    Effect.acquireUseRelease(
      Effect.sync(() => inProgress.add(step)),
      () => effect,
      () => Effect.sync(() => inProgress.delete(step))
    )
  )
}
