/** A bound on concurrent work, with a bounded queue that serves keys in turn. Nested runs are rejected, so it never deadlocks. */
import { Clock, Context, Duration, Effect } from "effect"
import type { Fiber, Scope } from "effect"
import { NestedRun, Saturated } from "./Saturated.ts"
import * as FairQueue from "./FairQueue.ts"
import { saturationLog } from "./SaturationLog.ts"

export interface Stats {
  readonly permits: number
  readonly active: number
  readonly waiting: number
  /** Runs that had to wait since the start, interrupted ones included. */
  readonly waits: number
  /** Total time of these waits. */
  readonly waited: Duration.Duration
  /** Runs rejected since the start. */
  readonly rejected: number
}

export interface Bulkhead {
  readonly name: string
  /**
   * Runs the effect with a permit, at once or when it is the key's turn. The effect must not wait for other work that
   * needs a permit of this bulkhead. Requesting one from inside, also from a forked fiber, is a defect (`NestedRun`).
   */
  readonly run: (key: string) => <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E | Saturated, R>
  readonly stats: Effect.Effect<Stats>
}

export interface Options {
  readonly name: string
  /** Concurrent runs; at least 1. */
  readonly permits: number
  /** Waiters of all keys. One more is rejected. */
  readonly maxWaiting: number
  /** Waiters of one key. One more is rejected. */
  readonly maxWaitingPerKey: number
  /** When a rejected caller should try again. */
  readonly retryAfter: Duration.Duration
  /** Interval of the warnings while it is full. */
  readonly warnEvery: Duration.Duration
}

interface Waiter {
  readonly since: number
  readonly resume: (effect: Effect.Effect<void, Saturated>) => void
  hasPermit: boolean
}

type AnyFiber = Fiber.Fiber<unknown, unknown>

/** One permit of the running work, linked to the permit that was held when it was taken. */
interface HeldPermits {
  readonly of: object
  readonly outer: HeldPermits | undefined
  /** A forked child that outlives the run inherits the context, but no longer holds the permit. */
  isReleased: boolean
}

const HeldPermits = Context.Reference<HeldPermits | undefined>("spillway/Bulkhead/HeldPermits", {
  defaultValue: () => undefined
})

function isHeldPermit(held: HeldPermits | undefined, of: object): boolean {
  for (let each = held; each !== undefined; each = each.outer) {
    if (each.of === of && !each.isReleased) return true
  }
  return false
}

/** The scope ends the metrics and warnings; runs do not depend on it. */
export const make = Effect.fnUntraced(function* (options: Options): Effect.fn.Return<Bulkhead, never, Scope.Scope> {
  const { maxWaiting, maxWaitingPerKey, name, permits, retryAfter } = options
  const clock = yield* Clock.Clock
  const queue = FairQueue.make<Waiter>()
  let free = permits
  let waits = 0
  let waitedMillis = 0
  let rejected = 0

  const reject = (key: string, limit: Saturated["limit"]) => {
    rejected++
    return new Saturated({ bulkhead: name, key, limit, retryAfter })
  }

  const handOver = () => {
    for (let count = free; count > 0; count--) {
      const waiter = queue.next()
      if (waiter === undefined) return
      free--
      waitedMillis += clock.currentTimeMillisUnsafe() - waiter.since
      waiter.hasPermit = true
      waiter.resume(Effect.void)
    }
  }

  /** A separate task, because resumed waiters run on the stack of the caller that resumes them. */
  const scheduleHandOver = (fiber: AnyFiber) => {
    if (free > 0 && queue.size() > 0) fiber.currentDispatcher.scheduleTask(handOver, 0)
  }

  const release = (fiber: AnyFiber) => {
    free++
    scheduleHandOver(fiber)
  }

  /** Ends with a permit. Interruption at any point leaks neither a waiter nor a permit. */
  const wait = (fiber: AnyFiber, key: string) =>
    Effect.callback<void, Saturated>((resume) => {
      if (queue.size() >= maxWaiting) return resume(reject(key, "waiting"))
      if (queue.sizeOf(key) >= maxWaitingPerKey) return resume(reject(key, "waitingPerKey"))
      const waiter: Waiter = { resume, since: clock.currentTimeMillisUnsafe(), hasPermit: false }
      waits++
      queue.add(key, waiter)
      scheduleHandOver(fiber)
      return Effect.suspend(() => {
        if (queue.remove(key, waiter)) waitedMillis += clock.currentTimeMillisUnsafe() - waiter.since
        if (waiter.hasPermit) release(fiber)
        return Effect.void
      })
    })

  const withPermit = <A, E, R>(work: Effect.Effect<A, E, R>, outer: HeldPermits | undefined, fiber: AnyFiber) => {
    const held: HeldPermits = { of: queue, outer, isReleased: false }
    return Effect.onExitPrimitive(Effect.provideService(work, HeldPermits, held), () => {
      held.isReleased = true
      release(fiber)
      return undefined
    })
  }

  const run: Bulkhead["run"] = (key) => (effect) =>
    Effect.uninterruptibleMask((restore) =>
      Effect.withFiber((fiber) => {
        const outer = fiber.getRef(HeldPermits)
        if (isHeldPermit(outer, queue)) return Effect.die(new NestedRun({ bulkhead: name }))
        if (free > 0 && queue.size() === 0) {
          free--
          return withPermit(restore(effect), outer, fiber)
        }
        return Effect.flatMap(restore(wait(fiber, key)), () => withPermit(restore(effect), outer, fiber))
      })
    )

  const stats = (): Stats => ({
    permits,
    active: permits - free,
    waiting: queue.size(),
    waits,
    waited: Duration.millis(waitedMillis),
    rejected
  })
  yield* saturationLog(name, options.warnEvery, stats)
  return { name, run, stats: Effect.sync(stats) }
})
