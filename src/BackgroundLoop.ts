/** Runs work in the background, round after round, until its scope ends. No failure or defect ends it. */
import { Cause, Duration, Effect } from "effect"
import type { Scope } from "effect"

/**
 * Forks a loop. Each round returns the pause before the next one. A round that fails or dies is logged with the message
 * `failed`, and repeated after `retryAfter`.
 */
export function fork<E, R>(
  round: Effect.Effect<Duration.Duration, E, R>,
  { failed, retryAfter }: { readonly failed: string; readonly retryAfter: Duration.Duration }
): Effect.Effect<void, never, R | Scope.Scope> {
  return round.pipe(
    Effect.catchCause((cause) => {
      const log = Cause.hasDies(cause) ? Effect.logError : Effect.logWarning
      return Effect.as(log(failed, cause), retryAfter)
    }),
    Effect.flatMap(Effect.sleep),
    Effect.forever,
    Effect.forkScoped,
    Effect.asVoid
  )
}

/** Forks a loop that pauses for `interval` after each round, whether it failed or not. */
export function every<A, E, R>(
  interval: Duration.Duration,
  work: Effect.Effect<A, E, R>,
  failed: string
): Effect.Effect<void, never, R | Scope.Scope> {
  return fork(Effect.as(work, interval), { failed, retryAfter: interval })
}
