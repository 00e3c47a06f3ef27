/** One attempt of an operation: waits for its turn until one time, then runs until another. */
import { Effect, Fiber } from "effect"
import type { Deadline, Deadlines } from "./Deadlines.ts"
import type { PoolShares } from "./PoolShares.ts"

interface Options<E> {
  readonly turns: PoolShares
  readonly uid: string | undefined
  /** When too many operations of the user wait. */
  readonly mayBeRefused: boolean
  readonly deadlines: Deadlines
  /** When it must have its turn. */
  readonly waitsUntil: number
  /** When it must have ended, asked when it has its turn. */
  readonly runsUntil: () => number
  /** The failure when its time is up. */
  readonly onLimit: () => E
  /** The failure when it is refused. */
  readonly onFull: (uid: string) => E
}

/**
 * `Effect.timeoutOrElse` waits until what it interrupts has stopped; a statement on a half-open connection takes 5 s for
 * that. Here the caller has its answer at once, and the turn is given back when the statement has really stopped. A
 * caller that is interrupted does wait, so that closing a scope ends everything in it.
 */
export function attempt<A, E, E2>(effect: Effect.Effect<A, E>, options: Options<E2>): Effect.Effect<A, E | E2> {
  return Effect.withFiber((parent) =>
    Effect.callback<A, E | E2>((resume) => {
      const { deadlines, turns, uid } = options
      let hasTurn = turns.tryTake(uid)
      if (!hasTurn && options.mayBeRefused && uid !== undefined && turns.isFull(uid))
        return resume(Effect.fail(options.onFull(uid)))
      const expire = () => {
        resume(Effect.fail(options.onLimit()))
        work.interruptUnsafe()
      }
      let deadline: Deadline = { at: hasTurn ? options.runsUntil() : options.waitsUntil, expire }
      const turn = Effect.callback<void>((granted) => {
        const leave = turns.wait(uid, () => {
          hasTurn = true
          deadlines.drop(deadline)
          deadline = { at: options.runsUntil(), expire }
          deadlines.add(deadline)
          granted(Effect.void)
        })
        return Effect.sync(leave)
      })
      const work = Effect.runForkWith(parent.context)(hasTurn ? effect : Effect.andThen(turn, effect))
      deadlines.add(deadline)
      work.addObserver((exit) => {
        deadlines.drop(deadline)
        if (hasTurn) turns.giveBack(uid)
        resume(exit)
      })
      return Effect.suspend(() => Fiber.interrupt(work))
    })
  )
}
