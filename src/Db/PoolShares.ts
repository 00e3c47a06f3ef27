/** Permits for a share of the pool, fair by user. Like a semaphore, but acquiring a free permit needs no effect. */
import { FairQueue } from "../Bulkhead.ts"

/** Bound of one user's queue. Further operations fail with `DbBusy`. */
export const maxWaitingPerUser = 64

export interface PoolShares {
  readonly count: number
  readonly active: () => number
  /** Acquires a permit if one is free and the user is below its limit. */
  readonly tryAcquire: (uid: string | undefined) => boolean
  readonly isFull: (uid: string) => boolean
  /** Queues; calls `granted` with the permit acquired. The result leaves the queue. */
  readonly wait: (uid: string | undefined, granted: () => void) => () => void
  readonly release: (uid: string | undefined) => void
}

/** The queue of callers without a uid, which has no limit. A uid is never empty. */
const anonymous = ""

/** One user holds at most `perUser` permits at a time. */
export function make(count: number, perUser: number): PoolShares {
  const queue = FairQueue.make<() => void>()
  const byUser = new Map<string, number>()
  let free = count
  const isBelowLimit = (key: string) => key === anonymous || (byUser.get(key) ?? 0) < perUser
  const take = (key: string) => {
    free--
    byUser.set(key, (byUser.get(key) ?? 0) + 1)
  }
  return {
    count,
    active: () => count - free,
    // While a permit is free, every queued user is at its limit.
    tryAcquire: (uid = anonymous) => {
      if (free === 0 || !isBelowLimit(uid)) return false
      take(uid)
      return true
    },
    isFull: (uid) => queue.sizeOf(uid) >= maxWaitingPerUser,
    wait: (uid = anonymous, granted) => {
      const waiter = () => {
        take(uid)
        granted()
      }
      queue.add(uid, waiter)
      return () => void queue.remove(uid, waiter)
    },
    release: (uid = anonymous) => {
      const left = (byUser.get(uid) ?? 1) - 1
      if (left > 0) byUser.set(uid, left)
      else byUser.delete(uid)
      free++
      queue.next(isBelowLimit)?.()
    }
  }
}
