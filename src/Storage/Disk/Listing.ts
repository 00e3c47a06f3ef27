/** Lists keys in ascending order. Memory: one page of keys, and the names of each directory on the path. */
import { Effect, Option } from "effect"
import { join } from "node:path"
import * as Disk from "./Disk.ts"
import { DiskCorrupt } from "./Fault.ts"
import type { DiskFault } from "./Fault.ts"
import * as FileName from "./FileName.ts"

interface Entry {
  /** A key, or the prefix of a directory, which ends in `/`. */
  readonly key: string
  readonly name: string
}

const ascending = (a: Entry, b: Entry) => (a.key < b.key ? -1 : 1)

const isDirectory = (entry: Entry) => entry.key.endsWith("/")

/** The error for a foreign file among the objects. */
const foreign = (path: string) =>
  new DiskCorrupt({
    reason: `${path} is not an object of this store; move it away, and bring files in with \`spillway import --from DIR\``
  })

/** Empty when the directory does not exist. */
const entries = (directory: string, prefix: string): Effect.Effect<ReadonlyArray<Entry>, DiskFault | DiskCorrupt> =>
  Disk.names(directory).pipe(
    Effect.catchTag("DiskFault", (fault) => {
      if (fault.code === "ENOENT") return Effect.succeed([])
      return Effect.fail(fault.code === "ENOTDIR" ? foreign(directory) : fault)
    }),
    Effect.map((names) =>
      names
        .flatMap((name) =>
          Option.match(FileName.parse(name), {
            onNone: () => [],
            onSome: ({ isObject, segment }) => [{ key: prefix + segment + (isObject ? "" : "/"), name }]
          })
        )
        .sort(ascending)
    )
  )

/** At most `limit` keys under `prefix` (empty, or ending in `/`) that sort after `after`. */
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
  yield* walk(join(root, FileName.directoryOf(prefix)), prefix)
  return found
})
