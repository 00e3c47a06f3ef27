/**
 * Waiters, in a queue for each key; the keys take turns. A key that was served, or is new, goes behind all others, so
 * between two turns of a key every other key has at most one.
 *
 * Not Effect's `PartitionedSemaphore` (4.1): its iterator over the keys never starts anew while keys with a single
 * waiter leave and come back, and a key that stayed in line all the time is passed over for ever.
 */
export interface FairQueue<W> {
  readonly add: (key: string, waiter: W) => void
  /** False when it did not wait any more. */
  readonly remove: (key: string, waiter: W) => boolean
  /** The waiter whose turn it is, removed. Keys that may not run keep their place. */
  readonly next: (mayRun?: (key: string) => boolean) => W | undefined
  readonly size: () => number
  readonly sizeOf: (key: string) => number
}

export function make<W>(): FairQueue<W> {
  /** No line is empty. The order is that of the turns. */
  const lines = new Map<string, Set<W>>()
  let size = 0

  const remove = (key: string, waiter: W) => {
    const line = lines.get(key)
    if (line === undefined || !line.delete(waiter)) return false
    size--
    if (line.size === 0) lines.delete(key)
    return true
  }

  return {
    remove,
    size: () => size,
    sizeOf: (key) => lines.get(key)?.size ?? 0,
    add: (key, waiter) => {
      const line = lines.get(key)
      if (line === undefined) lines.set(key, new Set([waiter]))
      else line.add(waiter)
      size++
    },
    next: (mayRun) => {
      for (const [key, line] of lines) {
        if (mayRun?.(key) === false) continue
        for (const waiter of line) {
          remove(key, waiter)
          if (lines.delete(key)) lines.set(key, line)
          return waiter
        }
      }
      return undefined
    }
  }
}
