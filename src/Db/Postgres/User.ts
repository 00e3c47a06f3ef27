/** The user of PostgreSQL's files and processes: the current one, or an unprivileged one when Spillway is root. */
import { Effect, FileSystem, Option, Path } from "effect"
import { DatabaseUnusable } from "../DatabaseUnusable.ts"
import type { User } from "./Child.ts"

const isRoot = () => process.getuid?.() === 0

/** The owner of an existing directory, so that a changed setting does not lock PostgreSQL out of its data. */
export const ownerOf = Effect.fnUntraced(function* (directory: string, uid: number) {
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

/** The first directory above `target` that `user` cannot traverse. */
const closedAbove = Effect.fnUntraced(function* (target: string, user: { readonly uid: number; readonly gid: number }) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const above = (at: string): ReadonlyArray<string> => {
    const parent = path.dirname(at)
    return parent === at ? [at] : [...above(parent), at]
  }
  for (const directory of above(path.dirname(target))) {
    const info = yield* fs.stat(directory)
    const bit = Option.contains(info.uid, user.uid) ? 0o100 : Option.contains(info.gid, user.gid) ? 0o010 : 0o001
    if ((info.mode & bit) === 0) return directory
  }
  return undefined
})

/** The two Linux capabilities for traversing closed directories, the weaker one first. */
const capabilities = [
  { name: "dac_read_search", bit: 2n },
  { name: "dac_override", bit: 1n }
]

/** The `setpriv` and capability for traversing closed directories as another user; undefined outside Linux. */
const findCapability = Effect.gen(function* () {
  const fs = yield* FileSystem.FileSystem
  const status = yield* Effect.orElseSucceed(fs.readFileString("/proc/self/status"), () => "")
  const ours = BigInt(`0x${/^CapBnd:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? "0"}`)
  const capability = capabilities.find(({ bit }) => (ours >> bit) % 2n === 1n)?.name
  for (const setpriv of ["/usr/bin/setpriv", "/bin/setpriv"])
    if (capability !== undefined && (yield* fs.exists(setpriv))) return { setpriv, capability }
  return undefined
})

/** Checks that `user` can traverse every directory above the targets. For a closed one it gets the capability, if supported. */
export const ensureTraversal = Effect.fnUntraced(function* (user: User, targets: ReadonlyArray<string>) {
  if (user === undefined) return user
  for (const target of targets) {
    const closed = yield* closedAbove(target, user)
    if (closed === undefined) continue
    const pass = yield* findCapability
    if (pass !== undefined) return { ...user, privilege: pass }
    return yield* new DatabaseUnusable({
      problem: `PostgreSQL refuses to run as root, and user ${user.uid}, which it runs as, can't enter ${closed}`,
      remedy:
        `allow others to traverse it (chmod o+x ${closed}), install and keep data elsewhere (SPILLWAY_DATA_DIR), ` +
        `run Spillway as an ordinary user, or set DATABASE_URL`
    })
  }
  return user
})

export const changeOwner = Effect.fnUntraced(function* (target: string, user: User, mode: number) {
  const fs = yield* FileSystem.FileSystem
  if (user !== undefined) yield* fs.chown(target, user.uid, user.gid)
  yield* fs.chmod(target, mode)
})
