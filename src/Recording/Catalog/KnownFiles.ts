/**
 * Rows of audio files as the index had them at most a second ago, so that ranges one after another need one query a second. A
 * chunk that leaves the journal is in the overlay no more, so the rows that were read before are forgotten.
 */
import { BoundedMap } from "../../BoundedMap.ts"
import type { FileRow, Name } from "./IndexRows.ts"

/** Milliseconds after which changes by other nodes are seen. */
const maxAge = 1_000

/** Of about 500 bytes each. The one that was read first is read again when needed. */
const maxFiles = 1_000

/** Conversations with changes. At the bound all rows are forgotten, and the changes with them. */
const maxChanges = 10_000

interface Known {
  readonly file: FileRow
  readonly readAt: number
}

export interface KnownFiles {
  readonly get: (name: Name, id: string) => FileRow | undefined
  /** `readAt`: when the query began, by `now`. */
  readonly add: (name: Name, id: string, file: FileRow, readAt: number) => void
  /** Forgets the rows of the conversation, those of running queries included. */
  readonly forget: (name: Name) => void
}

const nameOf = ({ conversation, uid }: Name): string => `${uid}/${conversation}`

interface Bounds {
  readonly files: number
  readonly changes: number
}

/** `now`: monotonic milliseconds. */
export function make(now: () => number, bounds: Bounds = { files: maxFiles, changes: maxChanges }): KnownFiles {
  const files = new BoundedMap<Known>(bounds.files)
  const changedAt = new Map<string, number>()
  let allChangedAt = -Infinity
  return {
    get: (name, id) => {
      const known = files.get(`${nameOf(name)}/${id}`)
      const changed = changedAt.get(nameOf(name)) ?? allChangedAt
      return known !== undefined && known.readAt > changed && now() - known.readAt <= maxAge ? known.file : undefined
    },
    add: (name, id, file, readAt) => {
      const key = `${nameOf(name)}/${id}`
      // Queries overtake each other.
      if (readAt >= (files.get(key)?.readAt ?? readAt)) files.set(key, { file, readAt })
    },
    forget: (name) => {
      if (changedAt.size >= bounds.changes) {
        changedAt.clear()
        allChangedAt = now()
      }
      changedAt.set(nameOf(name), now())
    }
  }
}
