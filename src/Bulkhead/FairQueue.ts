/**
 * A queue for each key, served in turn. A new key, and a key that was just served, is placed last, so every other waiting
 * key is served at most once between two turns of a key.
 *
 * Effect's `PartitionedSemaphore` (4.1) can starve a key: its iterator over the keys does not restart while keys with a
 * single waiter leave and return.
 */
export interface FairQueue<W> {
  readonly add: (key: string, waiter: W) => void
  /** False when the waiter is not in the queue. */
  readonly remove: (key: string, waiter: W) => boolean
  /** Removes and returns the waiter whose turn it is. Keys that can't run keep their place. */
  readonly next: (mayRun?: (key: string) => boolean) => W | undefined
  readonly size: () => number
  readonly sizeOf: (key: string) => number
}

export function make<W>(): FairQueue<W> {
  /** Never holds an empty set. Insertion order is the order of the turns. */
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
