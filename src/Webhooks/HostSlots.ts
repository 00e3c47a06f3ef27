/** Bounds the concurrent requests to each host. Waiters get free slots in turn by key. */
import { FairQueue } from "../Bulkhead.ts"

/** Waiters of all hosts. One more is rejected. */
const maxWaiting = 1_000

interface Host {
  taken: number
  readonly queue: FairQueue.FairQueue<() => void>
  isHandingOver: boolean
}

export class HostSlots {
  readonly #perHost: number
  /** Hosts with slots that are taken. */
  readonly #hosts = new Map<string, Host>()
  #waiting = 0

  constructor(perHost: number) {
    this.#perHost = perHost
  }

  tryTake(host: string): boolean {
    const known = this.#hosts.get(host)
    if (known === undefined) {
      this.#hosts.set(host, { taken: 1, queue: FairQueue.make(), isHandingOver: false })
      return true
    }
    if (known.taken >= this.#perHost || known.queue.size() > 0) return false
    known.taken++
    return true
  }

  /** Calls `granted` when it has the slot. Returns what leaves the queue; undefined if too many wait. */
  wait(host: string, key: string, granted: () => void): (() => void) | undefined {
    const known = this.#hosts.get(host)
    if (known === undefined || this.#waiting >= maxWaiting) return undefined
    const waiter = () => {
      this.#waiting--
      granted()
    }
    known.queue.add(key, waiter)
    this.#waiting++
    return () => {
      if (known.queue.remove(key, waiter)) this.#waiting--
    }
  }

  release(host: string): void {
    const known = this.#hosts.get(host)
    if (known === undefined) return
    known.taken--
    // A waiter that runs on this stack may release its slot on it, too: the outermost call serves the next one.
    if (known.isHandingOver) return
    known.isHandingOver = true
    while (known.taken < this.#perHost) {
      const next = known.queue.next()
      if (next === undefined) break
      known.taken++
      next()
    }
    known.isHandingOver = false
    if (known.taken === 0) this.#hosts.delete(host)
  }
}
