/**
 * Heads of objects that were read before, so that a range needs one read of its file. A file is never changed in place: a head
 * that was replaced is in another file, which its inode, size and time of change tell.
 */
import type { Stats } from "node:fs"
import type { ObjectHead } from "../../Storage.ts"

/** Of about 500 bytes each. The one that was read first is forgotten, and read again when needed. */
const maxHeads = 10_000

type Identity = Pick<Stats, "ino" | "size" | "ctimeMs">

export interface KnownHeads {
  readonly get: (key: string, file: Identity) => ObjectHead | undefined
  readonly add: (head: ObjectHead, file: Identity) => void
}

export function make(bound = maxHeads): KnownHeads {
  const known = new Map<string, Identity & { readonly head: ObjectHead }>()
  return {
    get: (key, { ctimeMs, ino, size }) => {
      const found = known.get(key)
      return found?.ino === ino && found.size === size && found.ctimeMs === ctimeMs ? found.head : undefined
    },
    add: (head, { ctimeMs, ino, size }) => {
      known.delete(head.key)
      known.set(head.key, { head, ino, size, ctimeMs })
      for (const oldest of known.keys()) {
        if (known.size <= bound) break
        known.delete(oldest)
      }
    }
  }
}
