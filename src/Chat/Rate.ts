/** Rates of users and addresses on this node: a burst of as many as a minute has, and then one at a time. */
import { BoundedMap } from "../BoundedMap.ts"

/** Keys with a rate. At the bound, the one that acted longest ago begins anew. */
const maxKeys = 10_000

const minute = 60_000

export class Rate {
  readonly #interval: number
  readonly #now: () => number
  /** When the key has used up nothing of its burst again. */
  readonly #restored = new BoundedMap<number>(maxKeys)

  /** `now`: milliseconds. */
  constructor(perMinute: number, now: () => number) {
    this.#interval = minute / perMinute
    this.#now = now
  }

  /** Counts an action, and returns 0; or the milliseconds until the next one may be. */
  take(key: string): number {
    const now = this.#now()
    const restored = Math.max(now, this.#restored.get(key) ?? 0) + this.#interval
    const wait = restored - now - minute
    if (wait > 0) return wait
    this.#restored.set(key, restored)
    return 0
  }
}
