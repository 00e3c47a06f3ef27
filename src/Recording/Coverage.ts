/** Which spans of a conversation's timeline are already recorded, so that a replay is stored only once. Pure, unix seconds. */

/** Two ends closer than this are the same instant. */
export const toleranceSeconds = 0.001

export interface Interval {
  readonly start: number
  end: number
}

/** Disjoint intervals, ascending; at most `limit`, the oldest go first. */
export class Coverage {
  readonly #intervals: Array<Interval> = []
  readonly #limit: number

  constructor(limit: number) {
    this.#limit = limit
  }

  get intervals(): ReadonlyArray<Interval> {
    return this.#intervals
  }

  /** The latest interval; its `end` may be moved forward by whoever appends to it. */
  get last(): Interval | undefined {
    return this.#intervals.at(-1)
  }

  /** Index of the first interval that ends at or after `time`, within the tolerance. */
  #from(time: number): number {
    let low = 0
    let high = this.#intervals.length
    while (low < high) {
      const middle = (low + high) >> 1
      const interval = this.#intervals[middle]
      if (interval !== undefined && interval.end < time - toleranceSeconds) low = middle + 1
      else high = middle
    }
    return low
  }

  /** Adds a span; intervals that it touches become one. Answers the interval that holds it now. */
  add(start: number, end: number): Interval {
    const from = this.#from(start)
    let to = from
    const merged = { start, end }
    for (let next = this.#intervals[to]; next !== undefined && next.start <= end + toleranceSeconds;) {
      merged.start = Math.min(merged.start, next.start)
      merged.end = Math.max(merged.end, next.end)
      next = this.#intervals[++to]
    }
    this.#intervals.splice(from, to - from, merged)
    if (this.#intervals.length > this.#limit) this.#intervals.shift()
    return merged
  }

  /** Parts of `start` to `end` that are not recorded yet, ascending. Slivers within the tolerance of both neighbours count as recorded. */
  uncovered(start: number, end: number): ReadonlyArray<{ readonly start: number; readonly end: number }> {
    const parts: Array<{ start: number; end: number }> = []
    let at = start
    for (let index = this.#from(start); at < end; index++) {
      const interval = this.#intervals[index]
      if (interval === undefined || interval.start >= end) {
        parts.push({ start: at, end })
        break
      }
      if (interval.start > at + toleranceSeconds) parts.push({ start: at, end: interval.start })
      at = Math.max(at, interval.end)
    }
    return parts
  }

  /** Forgets a span: what was received but could not be made durable may be sent again. */
  remove(start: number, end: number): void {
    const kept = this.#intervals.flatMap((interval) => {
      if (interval.end <= start || interval.start >= end) return [interval]
      return [
        { start: interval.start, end: Math.min(interval.end, start) },
        { start: Math.max(interval.start, end), end: interval.end }
      ].filter((part) => part.end > part.start)
    })
    this.#intervals.splice(0, this.#intervals.length, ...kept)
  }
}
