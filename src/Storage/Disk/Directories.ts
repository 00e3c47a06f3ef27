/** The directories that hold objects: made and synced before an object in them counts, removed with their last one. */
import { Effect } from "effect"
import { dirname } from "node:path"
import * as Disk from "./Disk.ts"
import type { DiskFault } from "./Fault.ts"

/** How often a directory may disappear under a put, because its last object was removed at that moment. */
const attempts = 16

export interface DiskDirectories {
  /**
   * Gives the file `from` also the name `to`, durably. Fails with EEXIST if that name is taken, and that is durable
   * then too: the put that took it may have been killed before it synced.
   */
  readonly publish: (from: string, to: string) => Effect.Effect<void, DiskFault>
  /** The name `to`, which is there, is the file `from` from now on, durably. */
  readonly replace: (from: string, to: string) => Effect.Effect<void, DiskFault>
  /** Removes the name, durably, and the directories that are empty then. A missing name is success. */
  readonly remove: (path: string) => Effect.Effect<void, DiskFault>
}

/** `root` exists and is durable; all paths are under it. At most `bound` directories are remembered. */
export function make(root: string, bound: number): DiskDirectories {
  /** Durable in all their ancestors; oldest first. */
  const known = new Set<string>()
  /** A directory that is found while another is removed may be the removed one, and is not remembered. */
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

  /** Makes the directory unless it is there, and makes it durable. ENOENT: one above it was just removed. */
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

  /** Syncs the directory, or, if it is gone, the first one above it that is not. */
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
