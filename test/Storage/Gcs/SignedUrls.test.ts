/** Signed URLs of the bucket: they open one object for a while, and are handed out only while half of that is left. */
import { assert, it } from "@effect/vitest"
import { Duration, Effect } from "effect"
import { TestClock } from "effect/testing"
import * as SignedUrls from "../../../src/Storage/Gcs/SignedUrls.ts"
import { noise, using } from "../support/TestGcs.ts"

const status = (url: string, method = "GET") => Effect.promise(async () => (await fetch(url, { method })).status)

it.live("opens only its object, only for GET, with ranges, and only unchanged", () =>
  using((server, storage) =>
    Effect.gen(function* () {
      const bytes = noise(1_000)
      const object = (key: string) => ({ key, body: bytes, contentType: "audio/wav", metadata: {} })
      yield* storage.put(object("merged/a.wav"))
      yield* storage.put(object("merged/b.wav"))
      const [before, minutes] = [Date.now(), 15]
      const { expiresAt, url } = yield* storage.signedUrl("merged/a.wav", { lifetime: Duration.minutes(minutes) })
      assert.isTrue(url.startsWith(`${server.url}/spillway-test/merged/a.wav?`))
      // Expiries are whole seconds.
      assert.isAtLeast(expiresAt.getTime(), before + minutes * 60_000 - 1_000)
      assert.isAtMost(expiresAt.getTime(), Date.now() + minutes * 60_000 + 1_000)
      const part = yield* Effect.promise(() => fetch(url, { headers: { range: "bytes=10-19" } }))
      assert.deepStrictEqual(new Uint8Array(yield* Effect.promise(() => part.arrayBuffer())), bytes.slice(10, 20))
      assert.strictEqual(yield* status(url.replace("a.wav", "b.wav")), 403)
      assert.strictEqual(yield* status(url.replace(/X-Goog-Expires=\d+/, "X-Goog-Expires=604800")), 403)
      assert.strictEqual(yield* status(url.replace(/X-Goog-Date=\d{4}/, "X-Goog-Date=2099")), 403)
      assert.strictEqual(yield* status(url.replace(/.$/, (last) => (last === "0" ? "1" : "0"))), 403)
      assert.strictEqual(yield* status(url, "HEAD"), 403)
      assert.strictEqual(yield* status(url, "DELETE"), 403)
    })
  )
)

it.live("is signed with one request to the store, for the object's expiry", () =>
  using((server, storage) =>
    Effect.gen(function* () {
      const before = server.seen.length
      yield* storage.signedUrl("a", { lifetime: Duration.hours(1) })
      yield* storage.signedUrl("a", { lifetime: Duration.hours(1) })
      assert.deepStrictEqual(
        server.seen.slice(before).map(({ operation }) => operation),
        ["get"]
      )
    })
  )
)

const counted = (bound: number, metadata: () => Readonly<Record<string, string>> | undefined = () => undefined) => {
  let signed = 0
  const urls = SignedUrls.make(
    bound,
    (key, from, until) => Effect.sync(() => `${key} ${from} ${until} ${++signed}`),
    () => Effect.sync(metadata)
  )
  const get = (key: string, lifetime = Duration.hours(1)) =>
    urls.get({ operation: "signedUrl", bucket: "b", key }, lifetime)
  return { urls, get, count: () => signed }
}

it.effect("is returned again while at least half of its lifetime is left", () =>
  Effect.gen(function* () {
    const { count, get } = counted(10)
    const first = yield* get("a")
    yield* TestClock.adjust("30 minutes")
    assert.deepStrictEqual(yield* get("a"), first)
    yield* TestClock.adjust("1 millis")
    const second = yield* get("a")
    assert.notStrictEqual(second.url, first.url)
    assert.strictEqual(second.expiresAt.getTime(), 90 * 60_000)
    yield* get("a", Duration.minutes(15))
    yield* get("b")
    assert.strictEqual(count(), 4)
  })
)

it.effect("expires with its object, and is evicted when the object changes", () =>
  Effect.gen(function* () {
    const metadata = { expires_at: "1970-01-01T00:20:00Z" }
    const { get, urls } = counted(10, () => metadata)
    assert.strictEqual((yield* get("a")).expiresAt.getTime(), 20 * 60_000)
    metadata.expires_at = "1970-01-01T00:30:00Z"
    assert.strictEqual((yield* get("a")).expiresAt.getTime(), 20 * 60_000)
    urls.forget("a")
    assert.strictEqual((yield* get("a")).expiresAt.getTime(), 30 * 60_000)
    yield* TestClock.adjust("30 minutes")
    assert.strictEqual((yield* Effect.flip(get("a")))._tag, "StorageRefused")
  })
)

it.effect("is signed again after its eviction from the cache", () =>
  Effect.gen(function* () {
    const { count, get } = counted(2)
    yield* Effect.forEach(["a", "b", "a", "c", "a"], (key) => get(key))
    assert.strictEqual(count(), 3)
    yield* get("b")
    assert.strictEqual(count(), 4)
  })
)
