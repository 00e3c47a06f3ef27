/**
 * Objects that were opened lately, so that a range needs one read. The bytes of a file never change, and the system notes in its
 * properties when a name of it is removed or replaced, also by another process.
 */
import * as fs from "node:fs"
import type { ObjectHead } from "../../Storage.ts"

/**
 * Milliseconds after which a file is opened again: on a network file system, changes by other machines are seen then. A listener
 * plays a chunk for a minute.
 */
const maxAge = 60_000

/** Descriptors that are kept. At the bound the one that was opened first is closed. */
const maxFiles = 256

/** What changes when a name of a file is added, removed or replaced. */
type Names = Pick<fs.Stats, "nlink" | "ctimeMs">

export interface OpenFile {
  readonly fd: number
  readonly head: ObjectHead
  readonly openedAt: number
  readonly names: Names
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

/** Whether the file has the names that it was opened by. */
const isNamed = ({ fd, names }: OpenFile): boolean => {
  const { ctimeMs, nlink } = fs.fstatSync(fd)
  return nlink > 0 && nlink === names.nlink && ctimeMs === names.ctimeMs
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
      if (now() - file.openedAt > maxAge || !isNamed(file)) {
        drop(file)
        return undefined
      }
      file.readers++
      return file
    },
    add: (fd, head) => {
      drop(files.get(head.key))
      const file = { fd, head, openedAt: now(), names: fs.fstatSync(fd), readers: 1, isKept: true }
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
