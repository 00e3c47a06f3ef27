/** Runs work in the background, round after round, until its scope ends. No failure or defect ends it. */
import { Cause, Duration, Effect } from "effect"
import type { Scope } from "effect"

/**
 * Forks a loop. Each round returns the pause before the next one. A round that fails or dies is repeated after `retryAfter`. The
 * first of several such rounds in a row is logged with the message `failed`, and so is the first defect among them; the end of
 * the failures is logged if it was not the next round.
 */
export function fork<E, R>(
  round: Effect.Effect<Duration.Duration, E, R>,
  { failed, retryAfter }: { readonly failed: string; readonly retryAfter: Duration.Duration }
): Effect.Effect<void, never, R | Scope.Scope> {
  let failures = 0
  let hasDied = false

  const fail = (cause: Cause.Cause<E>) =>
    Effect.suspend(() => {
      const isDefect = Cause.hasDies(cause)
      const isNew = failures === 0 || (isDefect && !hasDied)
      failures++
      hasDied ||= isDefect
      if (!isNew) return Effect.logDebug(failed, cause)
      return isDefect ? Effect.logError(failed, cause) : Effect.logWarning(failed, cause)
    })

  const succeed = Effect.suspend(() => {
    const ended = failures
    failures = 0
    hasDied = false
    return ended < 2 ? Effect.void : Effect.logInfo(`${failed}; it works again after ${ended} failures`)
  })

  return round.pipe(
    Effect.tap(() => succeed),
    Effect.catchCause((cause) => Effect.as(fail(cause), retryAfter)),
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
