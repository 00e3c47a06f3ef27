/** The admin key that the first start creates: first its file, then its row, so a kill never leaves a row with a lost key. */
import { Context, Effect, FileSystem, Layer, Option, Path, Redacted, Schema } from "effect"
import { NodeConfig } from "../NodeConfig.ts"
import { systemReason } from "../SystemReason.ts"
import { Keys, isWellFormed, makeSecret } from "./Keys.ts"
import { KeysConfig } from "./KeysConfig.ts"

const fileName = "admin-key"

/** The admin key's file can't be read or written, or has no key in it. */
export class AdminKeyUnusable extends Schema.TaggedError<AdminKeyUnusable>()("AdminKeyUnusable", {
  file: Schema.String,
  problem: Schema.String
}) {
  override get message() {
    return `Can't use ${this.file} (${this.problem}). Write the key to it, readable by this user, or set SPILLWAY_ADMIN_KEY.`
  }
}

export class AdminKey extends Context.Service<
  AdminKey,
  {
    /** The key and its file, if this start created them. */
    readonly created: Option.Option<{ readonly secret: Redacted.Redacted; readonly file: string }>
    /** Where the key can be found, as part of a sentence. */
    readonly location: string
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

/** Atomic and durable: writes a new file with mode 0600, syncs it, renames it and syncs the directory. */
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

const locationOf = (file: string) => `the admin key is in ${file}`

const fromSetting = Effect.fnUntraced(function* (secret: Redacted.Redacted) {
  yield* (yield* Keys).putAdmin(secret, { replace: true })
})

const fromFile = Effect.fnUntraced(function* (file: string, secret: Redacted.Redacted) {
  if (yield* (yield* Keys).putAdmin(secret, { replace: false })) return locationOf(file)
  yield* Effect.logWarning(
    `The key in ${file} is not the admin key of this database. Set SPILLWAY_ADMIN_KEY to replace the admin key.`
  )
  return `the admin key differs from the one in ${file}`
})

const firstStart = Effect.fnUntraced(function* (file: string) {
  const keys = yield* Keys
  if (yield* keys.hasAdmin) {
    return yield* Effect.logInfo(
      "The database has an admin key that another node created. Set SPILLWAY_ADMIN_KEY to replace it."
    ).pipe(Effect.as({ created: Option.none(), location: "another node created the admin key" }))
  }
  const secret = yield* makeSecret
  yield* writeKey(file, secret)
  if (!(yield* keys.putAdmin(secret, { replace: false }))) {
    yield* (yield* FileSystem.FileSystem).remove(file)
    return { created: Option.none(), location: "another node created the admin key" }
  }
  return { created: Option.some({ secret, file }), location: locationOf(file) }
})

const fromDirectory = Effect.fnUntraced(function* (file: string) {
  const stored = yield* readKey(file)
  if (Option.isNone(stored)) return yield* firstStart(file)
  if (!isWellFormed(stored.value)) return yield* new AdminKeyUnusable({ file, problem: "it has no valid key" })
  return { created: Option.none(), location: yield* fromFile(file, stored.value) }
})

export const layer = Layer.effect(
  AdminKey,
  Effect.gen(function* () {
    const { adminKey } = yield* KeysConfig
    if (Option.isSome(adminKey)) {
      yield* fromSetting(adminKey.value)
      return { created: Option.none(), location: "the admin key is the value of SPILLWAY_ADMIN_KEY" }
    }
    const path = yield* Path.Path
    const file = path.resolve((yield* NodeConfig).dataDir, fileName)
    return yield* fromDirectory(file).pipe(
      Effect.catchTag("PlatformError", (error) => new AdminKeyUnusable({ file, problem: systemReason(error) }))
    )
  })
)
