/** A download ends as the whole file, or not under its name. */
import { assert, layer } from "@effect/vitest"
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { ConfigProvider, Effect, FileSystem, Layer, Redacted } from "effect"
import { CliConfig } from "../../src/Cli/CliConfig.ts"
import * as Destination from "../../src/Cli/Destination.ts"
import { Download } from "../../src/Cli/Download.ts"
import { Screen } from "../../src/Cli/Screen.ts"
import { fakeServer } from "./support/FakeServer.ts"

const world = Layer.mergeAll(
  CliConfig.layer,
  Layer.mock(Screen, { say: () => Effect.void, progress: () => Effect.void }),
  NodeHttpClient.layerUndici,
  NodeServices.layer
).pipe(
  Layer.provide(
    ConfigProvider.layer(ConfigProvider.fromEnvRecord({ SPILLWAY_CLI_BACKOFF: "1 millis", SPILLWAY_CLI_TRIES: "2" }))
  )
)

const file = Buffer.from(Array.from({ length: 300_000 }, (_, i) => (i * 31) % 251))

const shorter = Buffer.from(Array.from({ length: 50_000 }, (_, i) => (i * 17) % 241))

const fetched = Effect.fnUntraced(function* (url: string, path = "/v1/sync/audio/c/f") {
  const fs = yield* FileSystem.FileSystem
  const to = `${yield* fs.makeTempDirectoryScoped()}/out.wav`
  const result = yield* Effect.result(
    Effect.flatMap(Destination.file(to), (to) => Download.run({ target: { url, key: Redacted.make("k") }, path, to }))
  )
  return { result, there: yield* fs.exists(to), bytes: Effect.map(fs.readFile(to), Buffer.from) }
})

layer(world, { excludeTestServices: true })("a download", (it) => {
  it.effect("goes on after a cut with what is missing of the same version", () =>
    Effect.gen(function* () {
      const { seen, url } = yield* fakeServer({ file, cutAfter: [100_000, 50_000] })
      const { bytes } = yield* fetched(url)
      assert.isTrue((yield* bytes).equals(file))
      assert.deepStrictEqual(seen.statuses, [200, 206, 206])
      assert.strictEqual(seen.ranges[0], undefined)
      assert.match(seen.ranges[1] ?? "", /^bytes=[1-9]\d*-$/)
    })
  )

  it.effect("starts over when a shorter file has taken its place in between", () =>
    Effect.gen(function* () {
      const { url } = yield* fakeServer({ file, cutAfter: [200_000], replacedBy: shorter })
      assert.isTrue((yield* (yield* fetched(url)).bytes).equals(shorter))
    })
  )

  it.effect("that never ends leaves no file under its name", () =>
    Effect.gen(function* () {
      const { url } = yield* fakeServer({ file, cutAfter: [10, 0, 0, 0, 0, 0] })
      const { result, there } = yield* fetched(url)
      assert.deepStrictEqual([result._tag, there], ["Failure", false])
    })
  )

  it.effect("of what is not there fails at once", () =>
    Effect.gen(function* () {
      const { url } = yield* fakeServer({ file })
      const { result, there } = yield* fetched(url, "/nothing")
      assert.match(result._tag === "Failure" ? result.failure.message : "", /404/)
      assert.isFalse(there)
    })
  )
})
