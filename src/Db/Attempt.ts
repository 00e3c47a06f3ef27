/** One attempt of an operation: waits for its turn until one time, then runs until another. */
import { Effect, Fiber, Semaphore } from "effect"
import type { Deadline, Deadlines } from "./Deadlines.ts"

interface Options<E> {
  readonly turns: Semaphore.Semaphore
  readonly deadlines: Deadlines
  /** When it must have its turn. */
  readonly waitsUntil: number
  /** When it must have ended, asked when it has its turn. */
  readonly runsUntil: () => number
  /** The failure when its time is up. */
  readonly onLimit: () => E
}

/**
 * `Effect.timeoutOrElse` waits until what it interrupts has stopped; a statement on a half-open connection takes 5 s for
 * that. Here the caller has its answer at once, and the permit is given back when the statement has really stopped. A
 * caller that is interrupted does wait, so that closing a scope ends everything in it.
 */
export const attempt = <A, E, E2>(effect: Effect.Effect<A, E>, options: Options<E2>): Effect.Effect<A, E | E2> =>
  Effect.withFiber((parent) =>
    Effect.callback<A, E | E2>((resume) => {
      const { deadlines, onLimit, runsUntil, turns, waitsUntil } = options
      let deadline: Deadline | undefined
      let hasTurn = false
      const limit = (at: number) => {
        if (deadline !== undefined) deadlines.drop(deadline)
        deadline = { at, expire }
        deadlines.add(deadline)
      }
      const expire = () => {
        resume(Effect.fail(onLimit()))
        work.interruptUnsafe()
      }
      const turn = Effect.suspend(() => {
        hasTurn = true
        if (deadline !== undefined) limit(runsUntil())
        return effect
      })
      const work = Effect.runForkWith(parent.context)(Semaphore.withPermit(turns, turn))
      const done = work.pollUnsafe()
      if (done !== undefined) return resume(done)
      limit(hasTurn ? runsUntil() : waitsUntil)
      work.addObserver((exit) => {
        if (deadline !== undefined) deadlines.drop(deadline)
        resume(exit)
      })
      return Fiber.interrupt(work)
    })
  )
