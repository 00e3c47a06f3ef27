/**
 * Heads of objects that were read before, so that a range needs one read of its file. Files are never changed in place: an
 * object whose head is replaced has another file, with another inode, size or time of change.
 */
import type { Stats } from "node:fs"
import { BoundedMap } from "../../BoundedMap.ts"
import type { ObjectHead } from "../../Storage.ts"

/** Of about 500 bytes each. The one that was read first is forgotten, and read again when needed. */
const maxHeads = 10_000

type Identity = Pick<Stats, "ino" | "size" | "ctimeMs">

export interface KnownHeads {
  readonly get: (key: string, file: Identity) => ObjectHead | undefined
  readonly add: (head: ObjectHead, file: Identity) => void
  /** The file of the key is gone: a new one can have the same inode, size and time. */
  readonly forget: (key: string) => void
}

export function make(bound = maxHeads): KnownHeads {
  const known = new BoundedMap<Identity & { readonly head: ObjectHead }>(bound)
  return {
    get: (key, { ctimeMs, ino, size }) => {
      const found = known.get(key)
      return found?.ino === ino && found.size === size && found.ctimeMs === ctimeMs ? found.head : undefined
    },
    add: (head, { ctimeMs, ino, size }) => known.set(head.key, { head, ino, size, ctimeMs }),
    forget: (key) => known.delete(key)
  }
}
