/** A rate limit: tokens are earned over time up to a burst, and each use takes some. A rejected use takes none. */
export class TokenBucket {
  readonly #perSecond: number
  readonly #burst: number
  #tokens: number
  #at: number

  /** Full at `now`, in milliseconds of the clock that `take` is called with. */
  constructor(perSecond: number, burst: number, now: number) {
    this.#perSecond = perSecond
    this.#burst = burst
    this.#tokens = burst
    this.#at = now
  }

  /** Returns whether there were as many. A clock that is set back earns nothing. */
  take(tokens: number, now: number): boolean {
    const earned = (Math.max(0, now - this.#at) / 1_000) * this.#perSecond
    this.#tokens = Math.min(this.#burst, this.#tokens + earned)
    this.#at = now
    if (this.#tokens < tokens) return false
    this.#tokens -= tokens
    return true
  }
}
