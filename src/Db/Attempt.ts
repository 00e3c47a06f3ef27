/** One attempt of an operation: waits for its turn within one limit, then runs within another. */
import { Clock, Duration, Effect, Fiber, Semaphore } from "effect"

interface Limits<E> {
  /** Milliseconds until it must have its turn. */
  readonly waiting: () => number
  /** Milliseconds it may run, asked when it has its turn. */
  readonly running: () => number
  /** The failure when its time is up. */
  readonly onLimit: () => E
}

/**
 * `Effect.timeoutOrElse` waits until what it interrupts has stopped; a statement on a half-open connection takes 5 s for
 * that. Here the caller has its answer at once, and the permit is given back when the statement has really stopped. A
 * caller that is interrupted does wait, so that closing a scope ends everything in it.
 */
export const attempt = <A, E, E2>(
  effect: Effect.Effect<A, E>,
  turns: Semaphore.Semaphore,
  limits: Limits<E2>
): Effect.Effect<A, E | E2> =>
  Effect.withFiber((parent) => {
    const clock = parent.getRef(Clock.Clock)
    const fork = Effect.runForkWith(parent.context)
    return Effect.callback<A, E | E2>((resume) => {
      let timer: Fiber.Fiber<void> | undefined
      let state: "waiting" | "running" = "waiting"
      const arm = () => {
        timer?.interruptUnsafe()
        timer = fork(clock.sleep(Duration.millis(limits[state]())))
        timer.addObserver((exit) => {
          if (exit._tag === "Failure") return
          resume(Effect.fail(limits.onLimit()))
          work.interruptUnsafe()
        })
      }
      const turn = Effect.suspend(() => {
        state = "running"
        if (timer !== undefined) arm()
        return effect
      })
      const work = fork(Semaphore.withPermit(turns, turn))
      const done = work.pollUnsafe()
      if (done !== undefined) return resume(done)
      arm()
      work.addObserver((exit) => {
        timer?.interruptUnsafe()
        resume(exit)
      })
      return Effect.suspend(() => {
        timer?.interruptUnsafe()
        return Fiber.interrupt(work)
      })
    })
  })
