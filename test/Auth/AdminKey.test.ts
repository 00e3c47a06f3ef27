/** The first start's admin key: when the database has it, its file has it too. */
import { assert, layer } from "@effect/vitest"
import { NodeServices } from "@effect/platform-node"
import { Context, Effect, FileSystem, Layer, Option, Redacted } from "effect"
import * as AdminKey from "../../src/Auth/AdminKey.ts"
import { Keys, layer as keysLayer } from "../../src/Auth/Keys.ts"
import { KeysConfig } from "../../src/Auth/KeysConfig.ts"
import { NodeConfig } from "../../src/NodeConfig.ts"
import * as Postgres from "../support/Postgres.ts"
import { environment } from "../Http/support/Served.ts"

/** One start of a node with this data directory. */
const start = (dataDir: string, env: Record<string, string> = {}) =>
  Effect.scoped(
    Layer.build(
      AdminKey.layer.pipe(
        Layer.provide([Layer.fresh(KeysConfig.layer), Layer.fresh(NodeConfig.layer)]),
        Layer.provide(environment({ SPILLWAY_DATA_DIR: dataDir, ...env }))
      )
    )
  )

const fresh = Effect.flatMap(FileSystem.FileSystem, (fs) => fs.makeTempDirectoryScoped())
const keyIn = (dataDir: string) =>
  Effect.map(
    Effect.flatMap(FileSystem.FileSystem, (fs) => fs.readFileString(`${dataDir}/admin-key`)),
    (text) => Redacted.make(text.trim())
  )

const world = () =>
  keysLayer.pipe(
    Layer.provide(KeysConfig.layer),
    Layer.provideMerge(Layer.fresh(Postgres.layer)),
    Layer.provide(environment({})),
    Layer.provideMerge(NodeServices.layer)
  )

layer(world(), { excludeTestServices: true })("the admin key at the first start", (it) => {
  it.effect("writes a key with both scopes to a file only its owner can read, and keeps it at the next start", () =>
    Effect.gen(function* () {
      const fs = yield* FileSystem.FileSystem
      const dataDir = yield* fresh
      yield* start(dataDir)
      const secret = yield* keyIn(dataDir)
      assert.strictEqual((yield* fs.stat(`${dataDir}/admin-key`)).mode & 0o777, 0o600)
      const found = Option.getOrThrow(yield* (yield* Keys).find(secret))
      assert.deepStrictEqual([found.id, found.uid, found.scopes], ["admin", "admin", ["admin", "service"]])
      yield* start(dataDir)
      assert.strictEqual(Redacted.value(yield* keyIn(dataDir)), Redacted.value(secret))
    })
  )

  it.effect("creates no second key when another node starts, and writes no file with a key that would not work", () =>
    Effect.gen(function* () {
      const fs = yield* FileSystem.FileSystem
      const dataDir = yield* fresh
      yield* start(dataDir)
      assert.isFalse(yield* fs.exists(`${dataDir}/admin-key`))
    })
  )

  it.effect("replaces the existing key with a preset key", () =>
    Effect.gen(function* () {
      const preset = `spw_${"p".repeat(43)}`
      const dataDir = yield* fresh
      yield* start(dataDir, { SPILLWAY_ADMIN_KEY: preset })
      const found = yield* (yield* Keys).find(Redacted.make(preset))
      assert.deepStrictEqual(
        Option.map(found, ({ id }) => id),
        Option.some("admin")
      )
      assert.isFalse(yield* (yield* FileSystem.FileSystem).exists(`${dataDir}/admin-key`))
    })
  )
})

layer(world(), { excludeTestServices: true })("a key file that differs from the database", (it) => {
  it.effect("is neither announced nor accepted as the admin key", () =>
    Effect.gen(function* () {
      const fs = yield* FileSystem.FileSystem
      const dataDir = yield* fresh
      yield* start(dataDir)
      const other = `spw_${"o".repeat(43)}`
      yield* fs.writeFileString(`${dataDir}/admin-key`, other)
      const { location } = Context.get(yield* start(dataDir), AdminKey.AdminKey)
      assert.strictEqual(location, `the admin key differs from the one in ${dataDir}/admin-key`)
      assert.isTrue(Option.isNone(yield* (yield* Keys).find(Redacted.make(other))))
    })
  )
})

layer(world(), { excludeTestServices: true })("an unusable key file", (it) => {
  const refused = Effect.fnUntraced(function* (
    spoil: (file: string) => Effect.Effect<void, unknown, FileSystem.FileSystem>
  ) {
    const dataDir = yield* fresh
    yield* spoil(`${dataDir}/admin-key`)
    const { message } = yield* Effect.flip(start(dataDir))
    assert.isFalse(yield* (yield* Keys).hasAdmin)
    return message.replace(dataDir, "DATA")
  })

  it.effect("stops the start with the file's path and what to do when it holds no key", () =>
    Effect.gen(function* () {
      const { writeFileString } = yield* FileSystem.FileSystem
      assert.strictEqual(
        yield* refused((file) => writeFileString(file, "hunter2\n")),
        "Can't use DATA/admin-key (it has no valid key). Write the key to it, readable by this user, or set SPILLWAY_ADMIN_KEY."
      )
    })
  )

  it.effect("stops the start with the reason when it can't be read", () =>
    Effect.gen(function* () {
      const { makeDirectory } = yield* FileSystem.FileSystem
      assert.match(
        yield* refused((file) => makeDirectory(file)),
        /^Can't use DATA\/admin-key \(illegal operation on a directory\)\. Write the key/
      )
    })
  )
})

layer(world(), { excludeTestServices: true })("a start after a kill between writing the file and the row", (it) => {
  it.effect("inserts the file's key into the database", () =>
    Effect.gen(function* () {
      const fs = yield* FileSystem.FileSystem
      const dataDir = yield* fresh
      const written = `spw_${"k".repeat(43)}`
      yield* fs.writeFileString(`${dataDir}/admin-key`, `${written}\n`)
      yield* start(dataDir)
      assert.isTrue(Option.isSome(yield* (yield* Keys).find(Redacted.make(written))))
    })
  )
})
