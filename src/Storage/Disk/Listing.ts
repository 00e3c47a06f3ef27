/** Keys in ascending order from directories: a directory's names are held while it is walked, and one page of keys. */
import { Effect, Option } from "effect"
import { join } from "node:path"
import * as Disk from "./Disk.ts"
import { DiskCorrupt } from "./Fault.ts"
import type { DiskFault } from "./Fault.ts"
import * as DiskName from "./FileName.ts"

interface Entry {
  /** A key, or what all keys in a directory start with, which ends in `/`. */
  readonly key: string
  readonly name: string
}

const ascending = (a: Entry, b: Entry) => (a.key < b.key ? -1 : 1)

const isDirectory = (entry: Entry) => entry.key.endsWith("/")

/** Somebody put a file where only the store does. */
const foreign = (path: string) =>
  new DiskCorrupt({
    reason: `${path} is not an object of this store; move it away, and bring files in with \`spillway import --from DIR\``
  })

/** None: the directory is not there. */
const entries = (directory: string, prefix: string): Effect.Effect<ReadonlyArray<Entry>, DiskFault | DiskCorrupt> =>
  Disk.names(directory).pipe(
    Effect.catchTag("DiskFault", (fault) => {
      if (fault.code === "ENOENT") return Effect.succeed([])
      return Effect.fail(fault.code === "ENOTDIR" ? foreign(directory) : fault)
    }),
    Effect.map((names) =>
      names
        .flatMap((name) =>
          Option.match(DiskName.read(name), {
            onNone: () => [],
            onSome: ({ isObject, segment }) => [{ key: prefix + segment + (isObject ? "" : "/"), name }]
          })
        )
        .sort(ascending)
    )
  )

/** At most `limit` keys that start with `prefix` (empty, or ending in `/`) and come after `after`. */
export const keys = Effect.fnUntraced(function* (root: string, prefix: string, after: string, limit: number) {
  const found: Array<string> = []
  const walk: (directory: string, prefix: string) => Effect.Effect<void, DiskFault | DiskCorrupt> = Effect.fnUntraced(
    function* (directory, prefix) {
      for (const entry of yield* entries(directory, prefix)) {
        if (found.length === limit) return
        if (isDirectory(entry)) {
          if (entry.key > after || after.startsWith(entry.key)) yield* walk(join(directory, entry.name), entry.key)
        } else if (entry.key > after) found.push(entry.key)
      }
    }
  )
  yield* walk(join(root, DiskName.directoryOf(prefix)), prefix)
  return found
})
