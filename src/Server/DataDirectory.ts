/** Creates and locks the data directory before any other module opens a file in it. */
import { hostname } from "node:os"
import { DatabaseSync } from "node:sqlite"
import { Effect, FileSystem, Layer, Path, Predicate, Schema } from "effect"
import type { PlatformError } from "effect"
import { NodeConfig } from "../NodeConfig.ts"
import { systemReason } from "../SystemReason.ts"

export class DataDirectoryUnusable extends Schema.TaggedError<DataDirectoryUnusable>()("DataDirectoryUnusable", {
  path: Schema.String,
  problem: Schema.String
}) {
  override get message() {
    return `Can't write to the data directory ${this.path} (${this.problem}). Give this user write permission, or set SPILLWAY_DATA_DIR to another directory.`
  }
}

/** Two servers would recover each other's journal as that of a killed process. */
export class DataDirectoryInUse extends Schema.TaggedError<DataDirectoryInUse>()("DataDirectoryInUse", {
  path: Schema.String,
  /** For people: `process 7 on web-1`. */
  owner: Schema.String
}) {
  override get message() {
    return `Another Spillway (${this.owner}) uses the data directory ${this.path}. Stop it first, or set SPILLWAY_DATA_DIR to another directory.`
  }
}

/** SQLITE_BUSY: another process has the lock. */
const isLocked = (error: unknown) => Predicate.hasProperty(error, "errcode") && error.errcode === 5

/** A kernel's file lock ends with the process. Node has no API for it, so an open SQLite transaction holds it. */
const lock = (dataDir: string, file: string) =>
  Effect.acquireRelease(
    Effect.try({
      try: () => {
        const database = new DatabaseSync(file)
        database.exec("PRAGMA journal_mode = MEMORY; BEGIN IMMEDIATE")
        return database
      },
      catch: (error) =>
        isLocked(error)
          ? new DataDirectoryInUse({ path: dataDir, owner: "another process" })
          : new DataDirectoryUnusable({
              path: dataDir,
              problem: error instanceof Error ? error.message : String(error)
            })
    }),
    (database) => Effect.sync(() => database.close())
  )

/** Level by level, because Node's recursive mkdir does not return if a parent such as `/proc` accepts no directories. */
const makeAll = (
  directory: string
): Effect.Effect<void, PlatformError.PlatformError, FileSystem.FileSystem | Path.Path> =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const parent = (yield* Path.Path).dirname(directory)
    const make = fs
      .makeDirectory(directory)
      .pipe(Effect.catchReason("PlatformError", "AlreadyExists", () => Effect.void))
    const below = Effect.andThen(makeAll(parent), make)
    yield* Effect.catchReason(make, "PlatformError", "NotFound", (_, error) =>
      parent === directory ? Effect.fail(error) : below
    )
  })

const isDirectory = Effect.fnUntraced(function* (path: string) {
  const fs = yield* FileSystem.FileSystem
  if ((yield* fs.stat(path)).type !== "Directory") {
    return yield* new DataDirectoryUnusable({ path, problem: "it is not a directory" })
  }
})

export const layer = Layer.effectDiscard(
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const dataDir = path.resolve((yield* NodeConfig).dataDir)
    const ownerFile = path.join(dataDir, "lock.owner")
    const named = Effect.flatMap(
      Effect.orElseSucceed(fs.readFileString(ownerFile), () => "another process"),
      (owner) => new DataDirectoryInUse({ path: dataDir, owner })
    )
    yield* makeAll(dataDir).pipe(
      Effect.andThen(isDirectory(dataDir)),
      Effect.andThen(Effect.catchTag(lock(dataDir, path.join(dataDir, "lock")), "DataDirectoryInUse", () => named)),
      Effect.andThen(fs.writeFileString(ownerFile, `process ${process.pid} on ${hostname()}`)),
      Effect.catchTag(
        "PlatformError",
        (error) => new DataDirectoryUnusable({ path: dataDir, problem: systemReason(error) })
      )
    )
  })
)
