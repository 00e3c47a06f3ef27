/** A bound on concurrent work: fair between keys, bounded in who may wait, and safe from waiting for itself. */
import { Clock, Duration, Effect } from "effect"
import type { Fiber, Scope } from "effect"
import { HeldPermits, isHeldPermit } from "./HeldPermits.ts"
import { NestedTake, Saturated } from "./Saturated.ts"
import * as FairQueue from "./FairQueue.ts"
import { saturationLog } from "./SaturationLog.ts"

export interface Stats {
  readonly permits: number
  /** Hold a permit now. */
  readonly active: number
  readonly waiting: number
  /** How many runs had to wait, since the start, those that gave up included. */
  readonly waits: number
  /** How long they waited, together. */
  readonly waited: Duration.Duration
  /** How many were turned away, since the start. */
  readonly rejected: number
}

export interface Bulkhead {
  readonly name: string
  /**
   * Runs the effect with a permit, at once or when the key has its turn. Only for leaves: the effect must not wait for
   * other work that needs a permit of this bulkhead; asking for one itself, or in a fiber it forked, is a defect.
   */
  readonly run: (key: string) => <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E | Saturated, R>
  readonly stats: Effect.Effect<Stats>
}

export interface Options {
  readonly name: string
  /** How many run at the same time; at least 1. */
  readonly permits: number
  /** More than this many waiters in all are turned away. */
  readonly maxWaiting: number
  /** More than this many waiters of one key are turned away. */
  readonly maxWaitingPerKey: number
  /** Who waited this long is turned away; for ever by default. */
  readonly waitTimeout?: Duration.Duration
  /** What those turned away are told. */
  readonly retryAfter: Duration.Duration
  /** Between two warnings that it is full. */
  readonly warnEvery: Duration.Duration
}

interface Waiter {
  readonly key: string
  readonly since: number
  readonly resume: (effect: Effect.Effect<void, Saturated>) => void
  hasPermit: boolean
}

type AnyFiber = Fiber.Fiber<unknown, unknown>

type Restore = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>

/** Its metrics and its warnings end with the scope; runs do not depend on it. */
export const make = Effect.fnUntraced(function* (options: Options): Effect.fn.Return<Bulkhead, never, Scope.Scope> {
  const { maxWaiting, maxWaitingPerKey, name, permits, retryAfter, waitTimeout } = options
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

  /** In a task of its own: waiters run on where they are resumed, and would run here on each other's stacks. */
  const scheduleHandOver = (fiber: AnyFiber) => {
    if (free > 0 && queue.size() > 0) fiber.currentDispatcher.scheduleTask(handOver, 0)
  }

  const release = Effect.withFiber((fiber) => {
    free++
    scheduleHandOver(fiber)
    return Effect.void
  })

  const leave = (waiter: Waiter): boolean => {
    if (!queue.remove(waiter.key, waiter)) return false
    waitedMillis += clock.currentTimeMillisUnsafe() - waiter.since
    return true
  }

  /** Ends with a permit. Interrupted at any moment, it leaves nothing behind: neither a waiter nor a permit. */
  const wait = (fiber: AnyFiber, key: string, onWaiting?: (waiter: Waiter) => void) =>
    Effect.callback<void, Saturated>((resume) => {
      if (queue.size() >= maxWaiting) return resume(reject(key, "waiting"))
      if (queue.sizeOf(key) >= maxWaitingPerKey) return resume(reject(key, "waitingPerKey"))
      const waiter: Waiter = { key, resume, since: clock.currentTimeMillisUnsafe(), hasPermit: false }
      waits++
      queue.add(key, waiter)
      onWaiting?.(waiter)
      scheduleHandOver(fiber)
      return Effect.suspend(() => {
        leave(waiter)
        return waiter.hasPermit ? release : Effect.void
      })
    })

  const waitAtMost = (fiber: AnyFiber, key: string, timeout: Duration.Duration, restore: Restore) =>
    Effect.suspend(() => {
      let waiting: Waiter | undefined
      const expire = Effect.sync(() => {
        if (waiting !== undefined && leave(waiting)) waiting.resume(reject(key, "waitTimeout"))
      })
      return Effect.flatMap(Effect.forkChild(Effect.delay(expire, timeout)), (timer) =>
        Effect.onExit(restore(wait(fiber, key, (waiter) => (waiting = waiter))), () =>
          Effect.sync(() => timer.interruptUnsafe())
        )
      )
    })

  const withPermit = <A, E, R>(work: Effect.Effect<A, E, R>, outer: HeldPermits | undefined) => {
    const held: HeldPermits = { of: queue, outer, isReleased: false }
    return Effect.onExit(Effect.provideService(work, HeldPermits, held), () => {
      held.isReleased = true
      return release
    })
  }

  const run: Bulkhead["run"] = (key) => (effect) =>
    Effect.uninterruptibleMask((restore) =>
      Effect.withFiber((fiber) => {
        const outer = fiber.getRef(HeldPermits)
        if (isHeldPermit(outer, queue)) return Effect.die(new NestedTake({ bulkhead: name }))
        if (free > 0 && queue.size() === 0) {
          free--
          return withPermit(restore(effect), outer)
        }
        const waited =
          waitTimeout === undefined ? restore(wait(fiber, key)) : waitAtMost(fiber, key, waitTimeout, restore)
        return Effect.flatMap(waited, () => withPermit(restore(effect), outer))
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
