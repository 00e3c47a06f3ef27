/**
 * Objects that were opened at most a second ago, so that ranges one after another need one read each. The bytes of a file never
 * change, and a file without a name is removed or replaced.
 */
import * as fs from "node:fs"
import type { ObjectHead } from "../../Storage.ts"

/** Milliseconds after which another process's removal of a file that has a second name is seen. */
const maxAge = 1_000

/** Descriptors that are kept. At the bound the one that was opened first is closed. */
const maxFiles = 256

export interface OpenFile {
  readonly fd: number
  readonly head: ObjectHead
  readonly openedAt: number
  readers: number
  isKept: boolean
}

export interface OpenFiles {
  /** Undefined unless the object is open. What is taken is given back. */
  readonly take: (key: string) => OpenFile | undefined
  /** Adopts a descriptor, which the caller has taken. */
  readonly add: (fd: number, head: ObjectHead) => OpenFile
  readonly giveBack: (file: OpenFile) => void
  /** The object is removed, replaced or damaged. */
  readonly forget: (key: string) => void
  readonly closeOld: () => void
  readonly closeAll: () => void
}

/** `now`: monotonic milliseconds. `close` is called once for each descriptor, when nothing reads from it. */
export function make(now: () => number, close: (fd: number) => void, bound = maxFiles): OpenFiles {
  /** In the order of opening. */
  const files = new Map<string, OpenFile>()

  const drop = (file: OpenFile | undefined) => {
    if (file?.isKept !== true) return
    files.delete(file.head.key)
    file.isKept = false
    if (file.readers === 0) close(file.fd)
  }

  return {
    take: (key) => {
      const file = files.get(key)
      if (file === undefined) return undefined
      if (now() - file.openedAt > maxAge || fs.fstatSync(file.fd).nlink === 0) {
        drop(file)
        return undefined
      }
      file.readers++
      return file
    },
    add: (fd, head) => {
      drop(files.get(head.key))
      const file = { fd, head, openedAt: now(), readers: 1, isKept: true }
      files.set(head.key, file)
      const [oldest] = files.size > bound ? files.values() : []
      drop(oldest)
      return file
    },
    giveBack: (file) => {
      file.readers--
      if (file.readers === 0 && !file.isKept) close(file.fd)
    },
    forget: (key) => drop(files.get(key)),
    closeOld: () => {
      for (const file of files.values()) {
        if (now() - file.openedAt <= maxAge) return
        drop(file)
      }
    },
    closeAll: () => files.forEach(drop)
  }
}
