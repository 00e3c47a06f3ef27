/** Deadlines of many operations on one timer, so that an operation that ends in time creates no timer. */
import { Clock, Duration, Effect, Fiber, type Scope } from "effect"

export interface Deadline {
  /** Monotonic milliseconds. */
  readonly at: number
  readonly expire: () => void
}

export interface Deadlines {
  /** Monotonic milliseconds. */
  readonly now: () => number
  /** Calls `expire` at `at` unless the deadline is dropped before. */
  readonly add: (deadline: Deadline) => void
  readonly drop: (deadline: Deadline) => void
}

export const make: Effect.Effect<Deadlines, never, Scope.Scope> = Effect.gen(function* () {
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
