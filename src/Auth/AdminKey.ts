/**
 * The first start's admin key. The file is durable before the row is written, so that a kill in between leaves a key that
 * the next start puts into the database, and never one in the database that nobody knows.
 */
import { Context, Effect, FileSystem, Layer, Option, Path, Redacted, Schema } from "effect"
import { NodeConfig } from "../NodeConfig.ts"
import { Keys, looksRight, makeSecret } from "./Keys.ts"
import { KeysConfig } from "./KeysConfig.ts"

const FILE = "admin-key"

/** The admin key's file can't be read or written, or is none. */
export class AdminKeyUnusable extends Schema.TaggedError<AdminKeyUnusable>()("AdminKeyUnusable", {
  file: Schema.String,
  problem: Schema.String
}) {
  override get message() {
    return `Can't use ${this.file} (${this.problem}). Put the key into it, readable for this user, or set SPILLWAY_ADMIN_KEY.`
  }
}

export class AdminKey extends Context.Service<
  AdminKey,
  {
    /** The key, and its file, when this start has made it. */
    readonly made: Option.Option<{ readonly secret: Redacted.Redacted; readonly file: string }>
    /** Where people find it, in words. */
    readonly place: string
  }
>()("spillway/Auth/AdminKey") {}

const readKey = Effect.fnUntraced(function* (file: string) {
  const fs = yield* FileSystem.FileSystem
  const text = yield* fs.readFileString(file).pipe(
    Effect.asSome,
    Effect.catchReason("PlatformError", "NotFound", () => Effect.succeedNone)
  )
  return Option.map(text, (text) => Redacted.make(text.trim()))
})

/** Mode 0600 from its first byte, and whole under its name: written beside, synced, renamed, the directory synced. */
const writeKey = Effect.fnUntraced(function* (file: string, secret: Redacted.Redacted) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const directory = path.dirname(file)
  yield* fs.makeDirectory(directory, { recursive: true })
  yield* fs.remove(`${file}.new`, { force: true })
  yield* Effect.scoped(
    Effect.gen(function* () {
      const handle = yield* fs.open(`${file}.new`, { flag: "wx", mode: 0o600 })
      yield* handle.writeAll(new TextEncoder().encode(`${Redacted.value(secret)}\n`))
      yield* handle.sync
    })
  )
  yield* fs.rename(`${file}.new`, file)
  yield* Effect.scoped(Effect.flatMap(fs.open(directory), (handle) => handle.sync))
})

const keptIn = (file: string) => `the admin key is in ${file}`

const preset = Effect.fnUntraced(function* (secret: Redacted.Redacted) {
  yield* (yield* Keys).putAdmin(secret, true)
})

const fromFile = Effect.fnUntraced(function* (file: string, secret: Redacted.Redacted) {
  if (yield* (yield* Keys).putAdmin(secret, false)) return keptIn(file)
  yield* Effect.logWarning(
    `The key in ${file} is not the admin key of this database. To choose the admin key, set SPILLWAY_ADMIN_KEY.`
  )
  return `the admin key is another one than ${file} has`
})

const firstStart = Effect.fnUntraced(function* (file: string) {
  const keys = yield* Keys
  if (yield* keys.hasAdmin) {
    return yield* Effect.logInfo(
      "The database has an admin key from another node's first start; SPILLWAY_ADMIN_KEY replaces it."
    ).pipe(Effect.as({ made: Option.none(), place: "the admin key is another node's" }))
  }
  const secret = yield* makeSecret
  yield* writeKey(file, secret)
  if (!(yield* keys.putAdmin(secret, false))) {
    yield* (yield* FileSystem.FileSystem).remove(file)
    return { made: Option.none(), place: "the admin key is another node's" }
  }
  return { made: Option.some({ secret, file }), place: keptIn(file) }
})

const ofFile = Effect.fnUntraced(function* (file: string) {
  const stored = yield* readKey(file)
  if (Option.isNone(stored)) return yield* firstStart(file)
  if (!looksRight(stored.value)) return yield* new AdminKeyUnusable({ file, problem: "it holds no key" })
  return { made: Option.none(), place: yield* fromFile(file, stored.value) }
})

export const layer = Layer.effect(
  AdminKey,
  Effect.gen(function* () {
    const { adminKey } = yield* KeysConfig
    if (Option.isSome(adminKey)) {
      yield* preset(adminKey.value)
      return { made: Option.none(), place: "the admin key is SPILLWAY_ADMIN_KEY's" }
    }
    const path = yield* Path.Path
    const file = path.resolve((yield* NodeConfig).dataDir, FILE)
    return yield* ofFile(file).pipe(
      Effect.catchTag("PlatformError", ({ reason }) => new AdminKeyUnusable({ file, problem: reason._tag }))
    )
  })
)
