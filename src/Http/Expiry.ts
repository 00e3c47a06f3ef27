/** A deadline of a part of a request, which interrupts the request with the problem that answers it. No second fiber waits for it. */
import { Cause, Context, Effect } from "effect"
import type { Deadlines } from "../Deadlines.ts"
import type { Problem } from "./Problem.ts"

/** Why the fiber of a request was interrupted. */
class Expiry extends Context.Service<Expiry, Problem>()("spillway/Http/Expiry") {}

/** The part must run in the fiber of the request. `millis`: how long it may take. */
export function within<A, E, R>(
  { add, drop, now }: Deadlines,
  millis: number,
  problem: () => Problem,
  part: Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> {
  return Effect.suspend(() => {
    let deadline: Parameters<typeof add>[0] | undefined
    const begun = Effect.withFiber<A, E, R>((fiber) => {
      deadline = {
        at: now() + millis,
        expire: () => fiber.interruptUnsafe(fiber.id, Context.make(Expiry, problem()))
      }
      add(deadline)
      return part
    })
    return Effect.onExitPrimitive(begun, () => {
      if (deadline !== undefined) drop(deadline)
      return undefined
    })
  })
}

/** The problem of the part that was not over in time. */
export function problemOf(cause: Cause.Cause<unknown>): Problem | undefined {
  return Cause.hasInterruptsOnly(cause) ? Context.getOrUndefined(Cause.annotations(cause), Expiry) : undefined
}
