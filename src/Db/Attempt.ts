/** One attempt of an operation: waits for a permit until one deadline, then runs until another. */
import { Effect, Fiber } from "effect"
import type { Deadline, Deadlines } from "../Deadlines.ts"
import type { PoolShares } from "./PoolShares.ts"

interface Options<E> {
  readonly permits: PoolShares
  readonly uid: string | undefined
  /** Fail instead of queueing when the queue of the user is full. */
  readonly isRejectable: boolean
  readonly deadlines: Deadlines
  /** Deadline for the permit. */
  readonly waitsUntil: number
  /** Deadline for the operation; evaluated when the permit is granted. */
  readonly runsUntil: () => number
  readonly onLimit: () => E
  readonly onFull: (uid: string) => E
}

/**
 * `Effect.timeoutOrElse` waits until the interrupted effect has stopped, which takes 5 s for a statement on a half-open
 * connection. Here the caller gets the error immediately, and the permit is released when the statement has stopped. An
 * interrupted caller does wait, so that closing a scope ends everything in it.
 */
export function attempt<A, E, E2>(effect: Effect.Effect<A, E>, options: Options<E2>): Effect.Effect<A, E | E2> {
  return Effect.withFiber((parent) =>
    Effect.callback<A, E | E2>((resume) => {
      const { deadlines, permits, uid } = options
      let hasPermit = permits.tryAcquire(uid)
      if (!hasPermit && options.isRejectable && uid !== undefined && permits.isFull(uid))
        return resume(Effect.fail(options.onFull(uid)))
      const expire = () => {
        resume(Effect.fail(options.onLimit()))
        work.interruptUnsafe()
      }
      let deadline: Deadline = { at: hasPermit ? options.runsUntil() : options.waitsUntil, expire }
      const acquired = Effect.callback<void>((granted) => {
        const leave = permits.wait(uid, () => {
          hasPermit = true
          deadlines.drop(deadline)
          deadline = { at: options.runsUntil(), expire }
          deadlines.add(deadline)
          granted(Effect.void)
        })
        return Effect.sync(leave)
      })
      const work = Effect.runForkWith(parent.context)(hasPermit ? effect : Effect.andThen(acquired, effect))
      deadlines.add(deadline)
      work.addObserver((exit) => {
        deadlines.drop(deadline)
        if (hasPermit) permits.release(uid)
        resume(exit)
      })
      return Effect.suspend(() => Fiber.interrupt(work))
    })
  )
}
