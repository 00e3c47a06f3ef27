/** The steps of a start that are in progress; `/health/ready` reports them until the node serves. */
import { Context, Effect } from "effect"

/** One sentence each, in the order in which they began. */
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
