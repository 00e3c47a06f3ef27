/** Which server and key a command uses, and how its hints name them again. */
import { assert, layer } from "@effect/vitest"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { ConfigProvider, Effect, FileSystem, Layer, Option, PlatformError, Redacted } from "effect"
import { CliConfig } from "../../src/Cli/CliConfig.ts"
import * as Target from "../../src/Cli/Target.ts"
import * as Telemetry from "../../src/Telemetry.ts"

interface Given {
  readonly url?: string
  readonly key?: string
  readonly uid?: string
  readonly env?: Record<string, string>
  readonly adminKey?: string
  readonly attended?: boolean
}

const none = Option.none()

/** The hints of a command that is given this, on a machine whose data directory has the key `spw_file`. */
const hints = ({ adminKey, attended = true, env = {}, key, uid, url }: Given) =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const dataDir = yield* fs.makeTempDirectoryScoped({ prefix: "it's" })
    yield* fs.writeFileString(`${dataDir}/admin-key`, "spw_file\n")
    const local = {
      host: "0.0.0.0",
      port: 8080,
      dataDir,
      adminKey: Option.map(Option.fromNullishOr(adminKey), Redacted.make)
    }
    const config = CliConfig.layer.pipe(Layer.provide(ConfigProvider.layer(ConfigProvider.fromEnvRecord(env))))
    const flags = {
      url: url === undefined ? none : Option.some(url),
      key: key === undefined ? none : Option.some(Redacted.make(key)),
      uid: Option.fromNullishOr(uid)
    }
    const target = yield* Target.target(flags).pipe(
      Effect.provide([Layer.fresh(config), Target.layerLocal(Effect.succeed(local))]),
      Effect.provideService(Telemetry.Interactive, attended)
    )
    const plain = (text: string) => text.replace(dataDir.replaceAll("'", String.raw`'\''`), "DATA")
    return { fetch: Target.hint(target, "fetch c"), curl: plain(Target.curl(target, "/v1/x y")) }
  })

layer(NodeServices.layer)("a hint", (it) => {
  it.effect("repeats the given flags, with the key only on a terminal", () =>
    Effect.gen(function* () {
      assert.strictEqual((yield* hints({ uid: "ada" })).fetch, "npm run spillway -- fetch c --uid ada")
      assert.deepStrictEqual(yield* hints({ url: "https://audio.example.org/", key: "spw_k" }), {
        fetch: "npm run spillway -- fetch c --url https://audio.example.org --key spw_k",
        curl: `curl -H "Authorization: Bearer spw_k" 'https://audio.example.org/v1/x y'`
      })
    })
  )

  it.effect("names the key's variable instead of the key when the output is no terminal", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* hints({ key: "spw_k", attended: false }), {
        fetch: 'npm run spillway -- fetch c --key "$SPILLWAY_KEY"',
        curl: `curl -H "Authorization: Bearer $SPILLWAY_KEY" 'http://127.0.0.1:8080/v1/x y'`
      })
    })
  )

  it.effect("omits flags that a command finds by itself, and gives them to other users", () =>
    Effect.gen(function* () {
      const fetch = "npm run spillway -- fetch c"
      const curl = (key: string) => `curl -H "Authorization: Bearer ${key}" 'http://127.0.0.1:8080/v1/x y'`
      assert.deepStrictEqual(yield* hints({}), { fetch, curl: curl("$(cat 'DATA/admin-key')") })
      assert.deepStrictEqual(yield* hints({ adminKey: "spw_a" }), { fetch, curl: curl("$SPILLWAY_ADMIN_KEY") })
      assert.deepStrictEqual(yield* hints({ env: { SPILLWAY_KEY: "spw_e" } }), { fetch, curl: curl("$SPILLWAY_KEY") })
    })
  )
})

layer(NodeServices.layer)("the key of this machine's server", (it) => {
  const failure = Effect.fnUntraced(function* (dataDir: string) {
    const local = { host: "127.0.0.1", port: 8080, dataDir, adminKey: none }
    const config = CliConfig.layer.pipe(Layer.provide(ConfigProvider.layer(ConfigProvider.fromEnvRecord({}))))
    const { message } = yield* Effect.flip(Target.target({ url: none, key: none })).pipe(
      Effect.provide([Layer.fresh(config), Target.layerLocal(Effect.succeed(local))])
    )
    return message
  })

  it.effect("is missing only when there is no file; a file that can't be read is named with the reason", () =>
    Effect.gen(function* () {
      const fs = yield* FileSystem.FileSystem
      const dataDir = yield* fs.makeTempDirectoryScoped()
      assert.match(yield* failure(dataDir), /^No key: give one with --key or SPILLWAY_KEY\./)
      const closed = FileSystem.make({
        ...fs,
        readFile: (path) => {
          const cause = new Error(`EACCES: permission denied, open '${path}'`)
          const reason = { _tag: "PermissionDenied", module: "FileSystem", method: "readFile", cause } as const
          return Effect.fail(PlatformError.systemError(reason))
        }
      })
      assert.strictEqual(
        yield* Effect.provideService(failure(dataDir), FileSystem.FileSystem, closed),
        `${dataDir}/admin-key can't be read (permission denied): run the command as the server's user, or give a key with --key or SPILLWAY_KEY.`
      )
    })
  )
})
