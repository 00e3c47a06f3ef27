/** The directories of objects: created and synced before an object in them is durable, removed with their last object. */
import { Effect } from "effect"
import { dirname } from "node:path"
import * as Disk from "./Disk.ts"
import type { DiskFault } from "./Fault.ts"

/** Retries of a put whose directory disappears because its last object is removed concurrently. */
const attempts = 16

export interface Directories {
  /** Links `from` as `to`, durably. After EEXIST `to` is durable too: its put may have been killed before it synced. */
  readonly publish: (from: string, to: string) => Effect.Effect<void, DiskFault>
  /** Renames `from` over the existing `to`, durably. */
  readonly replace: (from: string, to: string) => Effect.Effect<void, DiskFault>
  /** Removes the file, durably, and directories that become empty. Succeeds when the file is missing. */
  readonly remove: (path: string) => Effect.Effect<void, DiskFault>
}

/** `root` exists and is durable; all paths are under it. Caches at most `bound` durable directories. */
export function make(root: string, bound: number): Directories {
  /** Directories that are durable with all their ancestors, oldest first. */
  const known = new Set<string>()
  /** Removals in progress and completed: a directory found during a removal is not cached. */
  let removing = 0
  let removed = 0

  const learn = (directory: string) => {
    known.add(directory)
    for (const oldest of known) {
      if (known.size <= bound) return
      known.delete(oldest)
    }
  }

  const forget = (directory: string) => {
    for (let each = directory; each !== root; each = dirname(each)) known.delete(each)
  }

  /** Creates the directory if missing and makes it durable. Fails with ENOENT when an ancestor was just removed. */
  const ensure = (directory: string): Effect.Effect<void, DiskFault> =>
    Effect.suspend(() => {
      if (directory === root || known.has(directory)) return Effect.void
      const before = removed
      const above = dirname(directory)
      return ensure(above).pipe(
        Effect.andThen(Disk.makeDirectory(directory)),
        Effect.catchTag("DiskFault", (fault) => (fault.code === "EEXIST" ? Effect.void : Effect.fail(fault))),
        Effect.andThen(Disk.syncDirectory(above)),
        Effect.andThen(
          Effect.sync(() => {
            if (removing === 0 && removed === before) learn(directory)
          })
        )
      )
    })

  const linkInto = (from: string, to: string, left: number): Effect.Effect<void, DiskFault> =>
    ensure(dirname(to)).pipe(
      Effect.andThen(Disk.link(from, to)),
      Effect.catchTag("DiskFault", (fault) => {
        if (fault.code !== "ENOENT" || left === 0) return Effect.fail(fault)
        forget(dirname(to))
        return linkInto(from, to, left - 1)
      })
    )

  /** Syncs the directory or, if it was removed, its nearest existing ancestor. */
  const syncUp = (directory: string): Effect.Effect<void, DiskFault> =>
    Effect.catchTag(Disk.syncDirectory(directory), "DiskFault", (fault) =>
      fault.code === "ENOENT" && directory !== root ? syncUp(dirname(directory)) : Effect.fail(fault)
    )

  const removeEmpty = (directory: string) =>
    Effect.acquireUseRelease(
      Effect.sync(() => removing++),
      () => Disk.removeDirectory(directory),
      () =>
        Effect.sync(() => {
          removing--
          removed++
          known.delete(directory)
        })
    )

  const prune = (directory: string): Effect.Effect<void> =>
    directory === root
      ? Effect.void
      : Effect.matchEffect(removeEmpty(directory), {
          onFailure: () => Effect.void,
          onSuccess: () => prune(dirname(directory))
        })

  return {
    publish: (from, to) => {
      const durable = Effect.andThen(syncUp(dirname(to)), ensure(dirname(to)))
      return Effect.matchEffect(linkInto(from, to, attempts), {
        onFailure: (fault) =>
          fault.code === "EEXIST" ? Effect.andThen(durable, Effect.fail(fault)) : Effect.fail(fault),
        onSuccess: () => durable
      })
    },
    replace: (from, to) => Effect.andThen(Disk.rename(from, to), Disk.syncDirectory(dirname(to))),
    remove: (path) =>
      Disk.unlink(path).pipe(
        Effect.catchTag("DiskFault", (fault) => (fault.code === "ENOENT" ? Effect.void : Effect.fail(fault))),
        Effect.andThen(syncUp(dirname(path))),
        Effect.andThen(prune(dirname(path)))
      )
  }
}
