/** A signed URL reads one object until it expires, and does nothing else. */
import { assert, it, layer } from "@effect/vitest"
import { ConfigProvider, Duration, Effect, Exit, Layer, Schema, Scope, Stream } from "effect"
import { HttpClient, HttpClientRequest, type HttpMethod } from "effect/http"
import * as fs from "node:fs"
import { join } from "node:path"
import { BulkheadConfig } from "../../src/Bulkhead/BulkheadConfig.ts"
import { Keys } from "../../src/Auth/Keys.ts"
import { NodeConfig } from "../../src/NodeConfig.ts"
import { PublicUrl } from "../../src/PublicUrl.ts"
import type { SettingsInvalid } from "../../src/Settings.ts"
import { Storage } from "../../src/Storage.ts"
import * as DiskStorage from "../../src/Storage/Disk/DiskStorage.ts"
import * as ObjectsHttp from "../../src/Server/ObjectsHttp.ts"
import { StorageConfig } from "../../src/Storage/StorageConfig.ts"
import * as ObjectUrls from "../../src/Storage/Disk/ObjectUrls.ts"
import { served } from "../Http/support/Served.ts"
import { diskStorage } from "../Storage/support/TestDisk.ts"
import { temporaryDirectory } from "../support/TemporaryDirectory.ts"

const base = "https://audio.example.org/spillway"

const worldWith = (config: Layer.Layer<StorageConfig, SettingsInvalid>) =>
  Layer.unwrap(
    Effect.map(temporaryDirectory, (dataDir) =>
      served(ObjectsHttp.layer).pipe(
        Layer.provideMerge(DiskStorage.layer),
        Layer.provideMerge(
          Layer.mergeAll(
            config,
            BulkheadConfig.layer,
            Layer.succeed(NodeConfig, { dataDir }),
            Layer.succeed(PublicUrl, { base: () => base, setPort: () => {} }),
            Layer.mock(Keys, {})
          )
        )
      )
    )
  )

const world = worldWith(StorageConfig.layer)

const bytes = Buffer.from(Uint8Array.from({ length: 700_001 }, (_, i) => (i * 2_654_435_761) >>> 13))

const put = (key: string, metadata: Record<string, string> = {}) =>
  Storage.use((storage) => storage.put({ key, body: bytes, contentType: "audio/wav", metadata }))

/** The path and query of a signed URL. */
const signed = (key: string) =>
  Effect.map(
    Storage.use((storage) => storage.signedUrl(key, { lifetime: Duration.minutes(10) })),
    ({ url }) => {
      assert.isTrue(url.startsWith(`${base}/objects/`))
      return url.slice(base.length)
    }
  )

const ask = Effect.fnUntraced(function* (
  path: string,
  headers: Record<string, string> = {},
  method: HttpMethod.HttpMethod = "GET"
) {
  const response = yield* HttpClient.execute(
    HttpClientRequest.make(method)(path).pipe(HttpClientRequest.setHeaders(headers))
  )
  return { status: response.status, headers: response.headers, body: Buffer.from(yield* response.arrayBuffer) }
})

const assertRefused = Effect.fnUntraced(function* (path: string, method: HttpMethod.HttpMethod = "GET") {
  const { body, headers, status } = yield* ask(path, {}, method)
  assert.strictEqual(status, 403, `${method} ${path}`)
  if (method === "HEAD") return
  assert.strictEqual(headers["content-type"], "application/problem+json")
  assert.strictEqual(JSON.parse(body.toString()).type, "urn:spillway:problem:url-not-valid")
})

/** Signed with the key of this server. */
const forged = Effect.fnUntraced(function* (claim: ObjectUrls.Claim) {
  const { dataDir } = yield* NodeConfig
  const signature = ObjectUrls.signatureOf(fs.readFileSync(join(dataDir, "url-key")), claim)
  return `/objects/${claim.key}?expires=${claim.expires}&signature=${signature}`
})

const Part = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: bytes.length + 50 }))

layer(world, { excludeTestServices: true })("a signed URL", (it) => {
  it.effect("returns the object with the headers that players need", () =>
    Effect.gen(function* () {
      const { generation } = yield* put("merged/u/c/a.wav")
      const { body, headers, status } = yield* ask(yield* signed("merged/u/c/a.wav"))
      assert.strictEqual(status, 200)
      assert.isTrue(body.equals(bytes))
      assert.deepInclude(headers, {
        "content-type": "audio/wav",
        "content-length": String(bytes.length),
        "accept-ranges": "bytes",
        "cache-control": "private",
        etag: `"${generation}"`
      })
    })
  )

  it.effect.prop(
    "returns any range of the object",
    { a: Part, b: Part },
    Effect.fnUntraced(function* ({ a, b }) {
      yield* put("range/a.wav")
      const [first, last] = [Math.min(a, b), Math.max(a, b)]
      const { body, headers, status } = yield* ask(yield* signed("range/a.wav"), { range: `bytes=${first}-${last}` })
      if (first >= bytes.length) {
        assert.deepStrictEqual([status, headers["content-range"]], [416, `bytes */${bytes.length}`])
        return
      }
      const end = Math.min(last + 1, bytes.length)
      assert.strictEqual(status, 206)
      assert.isTrue(body.equals(bytes.subarray(first, end)))
      assert.strictEqual(headers["content-range"], `bytes ${first}-${end - 1}/${bytes.length}`)
    }),
    { arbitrary: { runs: 20 } }
  )

  it.effect("returns what a client does not have yet", () =>
    Effect.gen(function* () {
      const { generation } = yield* put("condition/a.wav")
      const path = yield* signed("condition/a.wav")
      assert.strictEqual((yield* ask(path, { "if-none-match": `"${generation}"` })).status, 304)
      const same = yield* ask(path, { range: "bytes=-5", "if-range": `"${generation}"` })
      const other = yield* ask(path, { range: "bytes=-5", "if-range": '"other"' })
      assert.deepStrictEqual([same.status, other.status], [206, 200])
      assert.isTrue(same.body.equals(bytes.subarray(-5)))
    })
  )

  it.effect("is rejected for another object, another method, another time, or with anything changed", () =>
    Effect.gen(function* () {
      yield* put("tamper/a.wav")
      yield* put("tamper/b.wav")
      const path = yield* signed("tamper/a.wav")
      const [, expires = "", signature = ""] = /expires=(\d+)&signature=([\w-]+)$/.exec(path) ?? []
      for (let i = 0; i < signature.length; i++) {
        const other = signature[i] === "A" ? "B" : "A"
        yield* assertRefused(path.replace(signature, signature.slice(0, i) + other + signature.slice(i + 1)))
      }
      for (const changed of [
        path.replace("a.wav", "b.wav"),
        path.replace("a.wav", "A.wav"),
        path.replace("a.wav", "%61.wav"),
        path.replace("tamper/", "tamper//"),
        path.replace("tamper/", "tamper%2F"),
        path.replace(expires, String(Number(expires) + 1)),
        path.replace(expires, `0${expires}`),
        path.replace(signature, ""),
        path.replace(signature, `${signature}=`),
        path.replace(signature, `${signature}A`),
        path.replace(/&signature.*/, ""),
        path.replace(/\?.*/, ""),
        "/objects/"
      ]) {
        yield* assertRefused(changed)
      }
      for (const method of ["HEAD", "POST", "PUT", "PATCH", "DELETE"] as const) yield* assertRefused(path, method)
      assert.strictEqual((yield* ask(path)).status, 200)
    })
  )

  it.effect("is rejected once it has expired", () =>
    Effect.gen(function* () {
      yield* put("late/a.wav")
      const expired = String(Math.floor(Date.now() / 1_000) - 1)
      yield* assertRefused(yield* forged({ method: "GET", key: "late/a.wav", expires: expired }))
      yield* assertRefused(yield* forged({ method: "GET", key: "late/a.wav", expires: "" }))
      yield* assertRefused(yield* forged({ method: "GET", key: "late/a.wav", expires: "soon" }))
      const coming = String(Math.floor(Date.now() / 1_000) + 60)
      assert.strictEqual((yield* ask(yield* forged({ method: "GET", key: "late/a.wav", expires: coming }))).status, 200)
    })
  )

  it.effect("is rejected once its object has expired, and not found once it is removed", () =>
    Effect.gen(function* () {
      const storage = yield* Storage
      yield* put("artifact/a.wav")
      const path = yield* signed("artifact/a.wav")
      yield* storage.setMetadata("artifact/a.wav", { expires_at: new Date(Date.now() - 1_000).toISOString() })
      yield* assertRefused(path)
      yield* storage.setMetadata("artifact/a.wav", { expires_at: new Date(Date.now() + 60_000).toISOString() })
      assert.strictEqual((yield* ask(path)).status, 200)
      yield* storage.remove("artifact/a.wav")
      assert.strictEqual((yield* ask(path)).status, 404)
    })
  )
})

/** A response that is read no further than its first piece; returns what closes it. */
const stalled = Effect.fnUntraced(function* (path: string) {
  const scope = yield* Scope.make()
  const response = yield* Scope.provide(HttpClient.get(path), scope)
  assert.strictEqual(response.status, 200)
  yield* Scope.provide(Stream.toPull(response.stream), scope).pipe(Effect.flatMap((pull) => pull))
  return { end: Scope.close(scope, Exit.void) }
})

const bounded = Layer.fresh(StorageConfig.layer).pipe(
  Layer.provide(
    ConfigProvider.layer(
      ConfigProvider.fromUnknown({ SPILLWAY_URL_RESPONSES_PER_USER: "2", SPILLWAY_URL_RESPONSES: "3" })
    )
  )
)

layer(worldWith(bounded), { excludeTestServices: true })("responses to signed URLs", (it) => {
  it.effect("are bounded by node and by user: one more is rejected with the reason until one ends", () =>
    Effect.gen(function* () {
      const body = new Uint8Array(16 * 1_024 * 1_024)
      const path = Effect.fnUntraced(function* (key: string) {
        const storage = yield* Storage
        yield* storage.put({ key, body, contentType: "audio/wav", metadata: {} })
        return yield* signed(key)
      })
      const [merged, chunk] = [yield* path("merged/ada/c/a.wav"), yield* path("chunks/ada/c/a.bin")]
      const [other, sample] = [yield* path("merged/bob/c/a.wav"), yield* path("cyd/people_profiles/p/a.wav")]
      const few = { range: "bytes=0-9" }
      for (let i = 0; i < 5; i++) assert.strictEqual((yield* ask(merged, few)).status, 206)
      const { end } = yield* stalled(merged)
      yield* stalled(chunk)
      const refused = yield* ask(merged, few)
      assert.strictEqual(refused.status, 429)
      assert.strictEqual(refused.headers["retry-after"], "5")
      assert.match(refused.body.toString(), /2 at once \(SPILLWAY_URL_RESPONSES_PER_USER\)/)
      yield* assertRefused(merged.replace("signature=", "signature=a"))
      yield* stalled(other)
      const full = yield* ask(sample, few)
      assert.strictEqual(full.status, 503)
      assert.match(full.body.toString(), /3 at once \(SPILLWAY_URL_RESPONSES\)/)
      yield* end
      const again = yield* Effect.repeat(ask(sample, few), { until: ({ status }) => status !== 503, times: 1_000 })
      assert.strictEqual(again.status, 206)
    })
  )
})

it.effect("keeps URLs valid after a restart, and only those of its own node", () =>
  Effect.gen(function* () {
    const [one, two] = [yield* temporaryDirectory, yield* temporaryDirectory]
    const url = (dataDir: string) =>
      Storage.use((storage) => storage.signedUrl("a", { lifetime: Duration.minutes(10) })).pipe(
        Effect.provide(diskStorage(dataDir), { local: true })
      )
    assert.deepStrictEqual(yield* url(one), yield* url(one))
    assert.notDeepEqual(yield* url(one), yield* url(two))
    const file = fs.statSync(join(one, "url-key"))
    assert.deepStrictEqual([file.mode & 0o777, file.size], [0o600, 32])
    assert.deepStrictEqual(fs.readdirSync(one).toSorted(), ["objects", "url-key"])
  })
)

it.effect("signs URLs with one key when stores start at the same moment", () =>
  Effect.gen(function* () {
    const dataDir = yield* temporaryDirectory
    const urls = yield* Effect.all(
      Array.from({ length: 8 }, () =>
        Storage.use((storage) => storage.signedUrl("a", { lifetime: Duration.minutes(10) })).pipe(
          Effect.provide(diskStorage(dataDir), { local: true })
        )
      ),
      { concurrency: "unbounded" }
    )
    assert.strictEqual(new Set(urls.map(({ url }) => url)).size, 1)
  })
)

it.effect("does not start with a damaged signing key, and says what to do", () =>
  Effect.gen(function* () {
    const dataDir = yield* temporaryDirectory
    fs.writeFileSync(join(dataDir, "url-key"), "short")
    const refused = yield* Effect.flip(Effect.scoped(Layer.build(diskStorage(dataDir))))
    assert.include(refused.message, "url-key is not a key of 32 bytes; delete it, and a new one is created")
  })
)
