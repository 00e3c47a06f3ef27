/** The node's own PostgreSQL on disk: made once, whole or not at all. */
import { createHash, randomBytes } from "node:crypto"
import { tmpdir } from "node:os"
import { Effect, FileSystem, Path, Predicate, Redacted, Result, Schedule } from "effect"
import * as Startup from "../../Startup.ts"
import { DatabaseUnusable } from "../DatabaseUnusable.ts"
import { DbConfig } from "../DbConfig.ts"
import type { PostgresBinaries } from "./Binaries.ts"
import * as PostgresChild from "./Child.ts"
import * as PostgresUser from "./User.ts"

export interface PostgresCluster {
  /** PGDATA. */
  readonly data: string
  /** Where the Unix socket is; nobody else can enter it. There is no TCP port. */
  readonly sockets: string
  readonly password: Redacted.Redacted
  readonly user: PostgresChild.User
}

export const superuser = "spillway"

/** `sun_path` holds 104 bytes on macOS and 108 on Linux, with the ending zero. */
const longestSocketPath = 103
const socketName = "/.s.PGSQL.5432"

const staging = /^postgres\.new\.(\d+)$/

/** A process of somebody else's may not be signalled, but is there. */
const isAlive = (pid: number) =>
  Result.match(
    Result.try(() => process.kill(pid, 0)),
    {
      onSuccess: () => true,
      onFailure: (error) => Predicate.hasProperty(error, "code") && error.code === "EPERM"
    }
  )

/** A killed start's `initdb` goes on for up to a second, and makes files in what is being removed. */
const removeAgain = Schedule.max([Schedule.spaced("50 millis"), Schedule.recurs(40)])

/** What a start that was killed while it made the cluster has left behind. */
const removeHalfMade = Effect.fnUntraced(function* (parent: string) {
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
  user: PostgresChild.User,
  durable: boolean
) {
  const path = yield* Path.Path
  const child = yield* PostgresChild.spawn({
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
    problem: `PostgreSQL's data directory could not be made (initdb: ${yield* child.ended})`,
    remedy: child.lastLines().slice(-3).join(" ") || "see the message before"
  })
}, Effect.scoped)

/** Made under another name, and renamed when it is complete and on disk. */
const create = Effect.fnUntraced(function* (
  binaries: PostgresBinaries,
  target: string,
  user: PostgresChild.User,
  durable: boolean
) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const parent = path.dirname(target)
  const directory = `${target}.new.${process.pid}`
  yield* fs.makeDirectory(directory)
  yield* PostgresUser.own(directory, user, 0o700)
  const password = path.join(directory, "password")
  yield* fs.writeFileString(password, randomBytes(24).toString("base64url"), { mode: 0o600 })
  yield* PostgresUser.own(password, user, 0o600)
  yield* initdb(binaries, directory, user, durable)
  if (durable) {
    yield* sync(password)
    yield* sync(directory)
  }
  yield* fs.rename(directory, target)
  if (durable) yield* sync(parent)
})

/** A Unix socket's path is short; a data directory's need not be. Then the sockets go where the system keeps short names. */
const socketDirectory = Effect.fnUntraced(function* (target: string, user: PostgresChild.User) {
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
      problem: `${sockets} is needed for PostgreSQL's socket, and belongs to somebody else`,
      remedy: "remove it, or use a shorter SPILLWAY_DATA_DIR"
    })
  yield* PostgresUser.own(sockets, user, 0o700)
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

/** Spillway's own directory may be closed to others; PostgreSQL's user must only pass through it. */
const letThrough = Effect.fnUntraced(function* (dataDir: string, user: PostgresChild.User) {
  if (user === undefined) return
  const fs = yield* FileSystem.FileSystem
  const { mode } = yield* fs.stat(dataDir)
  if ((mode & 0o011) !== 0o011) yield* fs.chmod(dataDir, (mode & 0o7777) | 0o011)
})

/** `durable: false` is for tests only: what a power cut leaves is then undefined. */
export const prepare = Effect.fnUntraced(
  function* (binaries: PostgresBinaries, dataDir: string, durable: boolean) {
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const config = yield* DbConfig
    yield* fs.makeDirectory(dataDir, { recursive: true })
    const absolute = yield* fs.realPath(dataDir)
    const target = path.join(absolute, "postgres")
    const owner = yield* PostgresUser.find(target, config.postgresUser)
    yield* letThrough(absolute, owner)
    const user = yield* PostgresUser.reach(owner, [target, binaries.postgres])
    yield* removeHalfMade(absolute)
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
          problem: `PostgreSQL's files in ${dataDir} can't be used (${error.message})`,
          remedy: "let Spillway write there, or set SPILLWAY_DATA_DIR to another directory"
        })
    )
)
