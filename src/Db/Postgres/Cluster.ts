/** The data directory of the embedded PostgreSQL. It is created once, completely or not at all. */
import { createHash, randomBytes } from "node:crypto"
import { tmpdir } from "node:os"
import { Effect, FileSystem, Path, Predicate, Redacted, Result, Schedule } from "effect"
import * as Startup from "../../Startup.ts"
import { DatabaseUnusable } from "../DatabaseUnusable.ts"
import { DbConfig } from "../DbConfig.ts"
import { systemReasonAt } from "../../SystemReason.ts"
import type { PostgresBinaries } from "./Binaries.ts"
import * as Child from "./Child.ts"
import * as User from "./User.ts"

export interface PostgresCluster {
  /** PGDATA. */
  readonly data: string
  /** The private directory of the Unix socket. There is no TCP port. */
  readonly sockets: string
  readonly password: Redacted.Redacted
  readonly user: Child.User
}

export const superuser = "spillway"

/** `sun_path` has 104 bytes on macOS and 108 on Linux, including the final zero. */
const longestSocketPath = 103
const socketName = "/.s.PGSQL.5432"

const staging = /^postgres\.new\.(\d+)$/

/** EPERM means that the process exists and belongs to another user. */
const isAlive = (pid: number) =>
  Result.match(
    Result.try(() => process.kill(pid, 0)),
    {
      onSuccess: () => true,
      onFailure: (error) => Predicate.hasProperty(error, "code") && error.code === "EPERM"
    }
  )

/** Retries, because the `initdb` of a killed start runs for up to a second and creates files during the removal. */
const removeAgain = Schedule.max([Schedule.spaced("50 millis"), Schedule.recurs(40)])

/** Removes the incomplete directory of a killed start. */
const removeIncomplete = Effect.fnUntraced(function* (parent: string) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  for (const name of yield* fs.readDirectory(parent)) {
    const pid = Number(staging.exec(name)?.[1] ?? process.pid)
    if (pid === process.pid ? staging.test(name) : !isAlive(pid))
      yield* Effect.retry(fs.remove(path.join(parent, name), { recursive: true, force: true }), removeAgain)
  }
})

const sync = Effect.fnUntraced(function* (directory: string) {
  const fs = yield* FileSystem.FileSystem
  yield* Effect.scoped(Effect.flatMap(fs.open(directory, { flag: "r" }), (file) => file.sync))
})

const initdb = Effect.fnUntraced(function* (
  binaries: PostgresBinaries,
  directory: string,
  user: Child.User,
  durable: boolean
) {
  const path = yield* Path.Path
  const child = yield* Child.spawn({
    command: binaries.initdb,
    args: [
      `--pgdata=${path.join(directory, "data")}`,
      `--username=${superuser}`,
      `--pwfile=${path.join(directory, "password")}`,
      "--auth=scram-sha-256",
      "--encoding=UTF8",
      "--locale=C",
      "--locale-provider=builtin",
      "--builtin-locale=C.UTF-8",
      "--no-instructions",
      ...(durable ? [] : ["--no-sync"])
    ],
    user
  })
  if (yield* child.succeeded) return
  return yield* new DatabaseUnusable({
    problem: `PostgreSQL's data directory could not be created (initdb: ${yield* child.ended})`,
    remedy: child.lastLines().slice(-3).join(" ") || "see the previous message"
  })
}, Effect.scoped)

/** Creates the cluster under a temporary name and renames it when it is complete and synced. */
const create = Effect.fnUntraced(function* (
  binaries: PostgresBinaries,
  target: string,
  user: Child.User,
  durable: boolean
) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const parent = path.dirname(target)
  const directory = `${target}.new.${process.pid}`
  yield* fs.makeDirectory(directory)
  yield* User.changeOwner(directory, user, 0o700)
  const password = path.join(directory, "password")
  yield* fs.writeFileString(password, randomBytes(24).toString("base64url"), { mode: 0o600 })
  yield* User.changeOwner(password, user, 0o600)
  yield* initdb(binaries, directory, user, durable)
  if (durable) {
    yield* sync(password)
    yield* sync(directory)
  }
  yield* fs.rename(directory, target)
  if (durable) yield* sync(parent)
})

/** The path of a Unix socket is limited; if the data directory's is too long, the socket is in the temporary directory. */
const socketDirectory = Effect.fnUntraced(function* (target: string, user: Child.User) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const near = path.join(target, "run")
  const isShort = Buffer.byteLength(near + socketName) <= longestSocketPath
  const name = createHash("sha256").update(target).digest("hex").slice(0, 16)
  const sockets = isShort ? near : path.join(tmpdir(), `spillway-${name}`)
  yield* fs
    .makeDirectory(sockets, { mode: 0o700 })
    .pipe(Effect.catchReason("PlatformError", "AlreadyExists", () => Effect.void))
  const uid = process.getuid?.()
  const info = yield* fs.lstat(sockets)
  const owner = info.uid._tag === "Some" ? info.uid.value : uid
  if (info.type !== "Directory" || (owner !== uid && owner !== user?.uid))
    return yield* new DatabaseUnusable({
      problem: `${sockets} is needed for PostgreSQL's socket, and belongs to another user`,
      remedy: "remove it, or use a shorter SPILLWAY_DATA_DIR"
    })
  yield* User.changeOwner(sockets, user, 0o700)
  if (!isShort) yield* Effect.addFinalizer(() => Effect.ignore(fs.remove(sockets, { recursive: true })))
  return sockets
})

const checkVersion = Effect.fnUntraced(function* (binaries: PostgresBinaries, target: string) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const found = yield* fs.readFileString(path.join(target, "data", "PG_VERSION")).pipe(
    Effect.map((text) => text.trim()),
    Effect.catchReason("PlatformError", "NotFound", () => Effect.undefined)
  )
  if (found === binaries.major) return
  return yield* new DatabaseUnusable({
    problem:
      found === undefined
        ? `${target} exists and holds no PostgreSQL data`
        : `${target} was made by PostgreSQL ${found}, and this Spillway brings PostgreSQL ${binaries.major}`,
    remedy:
      found === undefined
        ? "move it away, or use another SPILLWAY_DATA_DIR"
        : `dump it with the Spillway that made it (pg_dump), move the directory away, start, and load the dump`
  })
})

/** Gives PostgreSQL's user search permission on the data directory, which may be closed to others. */
const allowTraversal = Effect.fnUntraced(function* (dataDir: string, user: Child.User) {
  if (user === undefined) return
  const fs = yield* FileSystem.FileSystem
  const { mode } = yield* fs.stat(dataDir)
  if ((mode & 0o011) !== 0o011) yield* fs.chmod(dataDir, (mode & 0o7777) | 0o011)
})

/** `durable: false` is for tests: data may be lost in a power failure. */
export const prepare = Effect.fnUntraced(
  function* (binaries: PostgresBinaries, dataDir: string, durable: boolean) {
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const config = yield* DbConfig
    yield* fs.makeDirectory(dataDir, { recursive: true })
    const absolute = yield* fs.realPath(dataDir)
    const target = path.join(absolute, "postgres")
    const owner = yield* User.ownerOf(target, config.postgresUser)
    yield* allowTraversal(absolute, owner)
    const user = yield* User.ensureTraversal(owner, [target, binaries.postgres])
    yield* removeIncomplete(absolute)
    if (!(yield* fs.exists(target)))
      yield* Startup.during("The database is being created.", create(binaries, target, user, durable))
    yield* checkVersion(binaries, target)
    const password = yield* fs.readFileString(path.join(target, "password"))
    const cluster: PostgresCluster = {
      data: path.join(target, "data"),
      sockets: yield* socketDirectory(target, user),
      password: Redacted.make(password, { label: "PostgreSQL's password" }),
      user
    }
    return cluster
  },
  (effect, _binaries, dataDir) =>
    Effect.catchTag(
      effect,
      "PlatformError",
      (error) =>
        new DatabaseUnusable({
          problem: `PostgreSQL's files in ${dataDir} can't be used (${systemReasonAt(error)})`,
          remedy: "let Spillway write there, or set SPILLWAY_DATA_DIR to another directory"
        })
    )
)
