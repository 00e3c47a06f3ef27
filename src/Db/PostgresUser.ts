/** Whose PostgreSQL's files and processes are: ours, or an unprivileged user's where Spillway is root. */
import { Effect, FileSystem, Option, Path } from "effect"
import { DatabaseUnusable } from "./DatabaseUnusable.ts"
import type { User } from "./PostgresChild.ts"

const isRoot = () => process.getuid?.() === 0

/** The owner of what is there already, so that a changed setting does not lock PostgreSQL out of its data. */
export const find = Effect.fnUntraced(function* (directory: string, uid: number) {
  const fs = yield* FileSystem.FileSystem
  const owner = yield* fs.stat(directory).pipe(
    Effect.map((info) => ({ uid: Option.getOrElse(info.uid, () => 0), gid: Option.getOrElse(info.gid, () => 0) })),
    Effect.catchReason("PlatformError", "NotFound", () => Effect.undefined)
  )
  const self = process.getuid?.()
  if (!isRoot() && owner !== undefined && self !== undefined && owner.uid !== self)
    return yield* new DatabaseUnusable({
      problem: `${directory} belongs to user ${owner.uid}, and Spillway runs as user ${self}`,
      remedy: `run Spillway as that user or as root, or give it the directory (chown -R ${self} ${directory})`
    })
  const user: User = !isRoot() ? undefined : owner !== undefined && owner.uid !== 0 ? owner : { uid, gid: uid }
  return user
})

/** Every directory above `target` must let `user` through. */
export const requireReachable = Effect.fnUntraced(function* (target: string, user: User) {
  if (user === undefined) return
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const above = (at: string): ReadonlyArray<string> => {
    const parent = path.dirname(at)
    return parent === at ? [at] : [...above(parent), at]
  }
  for (const directory of above(path.dirname(target))) {
    const info = yield* fs.stat(directory)
    const bit = Option.contains(info.uid, user.uid) ? 0o100 : Option.contains(info.gid, user.gid) ? 0o010 : 0o001
    if ((info.mode & bit) === 0)
      return yield* new DatabaseUnusable({
        problem: `PostgreSQL refuses to run as root, and user ${user.uid}, whom it runs as, can't enter ${directory}`,
        remedy:
          `let others through (chmod o+x ${directory}), install and keep data elsewhere (SPILLWAY_DATA_DIR), ` +
          `run Spillway as an ordinary user, or set DATABASE_URL`
      })
  }
})

export const own = Effect.fnUntraced(function* (target: string, user: User, mode: number) {
  const fs = yield* FileSystem.FileSystem
  if (user !== undefined) yield* fs.chown(target, user.uid, user.gid)
  yield* fs.chmod(target, mode)
})
