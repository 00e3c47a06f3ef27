/** Turns on a pool: first come, first served. As a semaphore, but a free turn is taken without an effect. */

export interface Turns {
  /** Takes a free turn, if there is one. */
  readonly tryTake: () => boolean
  /** Calls `granted` when it has a turn; the answer leaves the line. Its length is bounded by the callers. */
  readonly line: (granted: () => void) => () => void
  readonly giveBack: () => void
}

export const make = (count: number): Turns => {
  const waiting = new Set<() => void>()
  let free = count
  return {
    tryTake: () => {
      if (free === 0) return false
      free--
      return true
    },
    line: (granted) => {
      waiting.add(granted)
      return () => void waiting.delete(granted)
    },
    giveBack: () => {
      for (const granted of waiting) {
        waiting.delete(granted)
        return granted()
      }
      free++
    }
  }
}
