/** One attempt of an operation: waits for a permit until one deadline, then runs until another. */
import { Clock, Duration, Effect, Fiber, type Scope } from "effect"
import type { PoolShares } from "./PoolShares.ts"

interface Deadline {
  readonly at: number
  readonly expire: () => void
}

interface Deadlines {
  /** Monotonic milliseconds. */
  readonly now: () => number
  /** Calls `expire` at `at` unless the deadline is dropped before. */
  readonly add: (deadline: Deadline) => void
  readonly drop: (deadline: Deadline) => void
}

/** Many deadlines on one timer, so that an operation that ends in time creates no timer. */
export const makeDeadlines: Effect.Effect<Deadlines, never, Scope.Scope> = Effect.gen(function* () {
  const clock = yield* Clock.Clock
  const fork = Effect.runForkWith(yield* Effect.context<never>())
  const pending = new Set<Deadline>()
  let timer: Fiber.Fiber<void> | undefined
  let armedFor = Infinity

  const now = () => Number(clock.monotonicTimeNanosUnsafe()) / 1e6

  const arm = (at: number) => {
    timer?.interruptUnsafe()
    armedFor = at
    timer = fork(clock.sleep(Duration.millis(Math.max(at - now(), 0))))
    timer.addObserver((exit) => {
      if (exit._tag === "Success") fire()
    })
  }
  /** Dropping a deadline leaves the timer armed, so there may be nothing due. */
  const fire = () => {
    timer = undefined
    armedFor = Infinity
    const time = now()
    let next = Infinity
    for (const deadline of pending) {
      if (deadline.at <= time) {
        pending.delete(deadline)
        deadline.expire()
      } else next = Math.min(next, deadline.at)
    }
    if (next < armedFor) arm(next)
  }

  yield* Effect.addFinalizer(() => Effect.suspend(() => (timer === undefined ? Effect.void : Fiber.interrupt(timer))))
  return {
    now,
    add: (deadline) => {
      pending.add(deadline)
      if (deadline.at < armedFor) arm(deadline.at)
    },
    drop: (deadline) => void pending.delete(deadline)
  }
})

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
