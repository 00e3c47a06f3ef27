/** PoolShares on a part of the pool, fair by user. Like a semaphore, but a free turn is taken without an effect. */
import { FairQueue } from "../Bulkhead.ts"

/** More operations of one user than this wait for no turn: they are refused. */
export const maxWaitingPerUser = 64

export interface PoolShares {
  readonly count: number
  readonly taken: () => number
  /** Takes a free turn, if there is one for this user. */
  readonly tryTake: (uid: string | undefined) => boolean
  readonly isFull: (uid: string) => boolean
  /** Calls `granted` when the turn is taken; the result leaves the queue. */
  readonly wait: (uid: string | undefined, granted: () => void) => () => void
  readonly giveBack: (uid: string | undefined) => void
}

/** No uid is empty. */
const nobody = ""

/** `perUser` is how many of the turns one user may have at a time. */
export function make(count: number, perUser: number): PoolShares {
  const queue = FairQueue.make<() => void>()
  const byUser = new Map<string, number>()
  let free = count
  const mayTake = (key: string) => key === nobody || (byUser.get(key) ?? 0) < perUser
  const take = (key: string) => {
    free--
    byUser.set(key, (byUser.get(key) ?? 0) + 1)
  }
  return {
    count,
    taken: () => count - free,
    // While a turn is free, those that wait have as many as they may.
    tryTake: (uid = nobody) => {
      if (free === 0 || !mayTake(uid)) return false
      take(uid)
      return true
    },
    isFull: (uid) => queue.sizeOf(uid) >= maxWaitingPerUser,
    wait: (uid = nobody, granted) => {
      const waiter = () => {
        take(uid)
        granted()
      }
      queue.add(uid, waiter)
      return () => void queue.remove(uid, waiter)
    },
    giveBack: (uid = nobody) => {
      const left = (byUser.get(uid) ?? 1) - 1
      if (left > 0) byUser.set(uid, left)
      else byUser.delete(uid)
      free++
      queue.next(mayTake)?.()
    }
  }
}
