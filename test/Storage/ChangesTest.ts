/** What every object store must do with objects that are there: a part of the suite of `StorageTest.ts`. */
import { assert, type Vitest } from "@effect/vitest"
import { crc32c } from "@node-rs/crc32"
import { Clock, Duration, Effect } from "effect"
import { Storage } from "../../src/Storage.ts"
import { bytesOf, noise, object, read } from "./support/Objects.ts"

export const changes = (it: Vitest.MethodsNonLive<Storage>) => {
  it.effect("removes only the requested generation", () =>
    Effect.gen(function* () {
      const storage = yield* Storage
      const old = yield* storage.put(object("generation/a", noise(10)))
      yield* storage.remove("generation/a")
      const { generation } = yield* storage.put(object("generation/a", noise(10)))
      yield* storage.remove("generation/a", { generation: old.generation })
      assert.strictEqual((yield* storage.head("generation/a")).generation, generation)
      yield* storage.remove("generation/a", { generation })
      assert.strictEqual((yield* Effect.flip(storage.head("generation/a")))._tag, "ObjectNotFound")
      yield* storage.remove("generation/a", { generation })
    })
  )

  it.effect("removes many objects, missing ones included", () =>
    Effect.gen(function* () {
      const storage = yield* Storage
      const keys = Array.from({ length: 30 }, (_, i) => `herd/${i}`)
      yield* Effect.forEach(keys.slice(3), (key) => storage.put(object(key, noise(1))), { concurrency: 8 })
      yield* storage.removeMany(keys)
      assert.deepStrictEqual((yield* storage.list("herd/")).objects, [])
      yield* storage.removeMany([])
    })
  )

  it.effect("removes every removable object when others fail", () =>
    Effect.gen(function* () {
      const storage = yield* Storage
      const keys = Array.from({ length: 12 }, (_, i) => `mixed/${i}`)
      yield* Effect.forEach(keys, (key) => storage.put(object(key, noise(1))), { concurrency: 8 })
      const refused = yield* Effect.flip(storage.removeMany(["no name", ...keys]))
      assert.deepStrictEqual([refused._tag, refused.key], ["StorageRefused", "no name"])
      assert.deepStrictEqual((yield* storage.list("mixed/")).objects, [])
    })
  )

  it.effect("composes objects in order, repeated ones included, into a new one", () =>
    Effect.gen(function* () {
      const storage = yield* Storage
      const parts = [noise(300_000), new Uint8Array(0), noise(70_001), bytesOf("x")]
      const keys = parts.map((_, i) => `part/${i}`)
      yield* Effect.forEach(parts, (bytes, i) => storage.put(object(keys[i] ?? "", bytes, { part: "1" })))
      const whole = Uint8Array.from([...parts, ...parts].flatMap((bytes) => [...bytes]))
      const target = { key: "composed/a", contentType: "audio/wav", metadata: { v: "2" } }
      const head = yield* storage.compose(target, [...keys, ...keys])
      assert.deepStrictEqual(
        [head.size, head.crc32c, head.contentType, head.metadata],
        [whole.length, crc32c(whole), "audio/wav", { v: "2" }]
      )
      assert.deepStrictEqual(yield* storage.head("composed/a"), head)
      assert.deepStrictEqual(yield* read("composed/a"), whole)
      assert.deepStrictEqual(yield* read("part/0"), parts[0])
    })
  )

  it.effect("composes more objects than fit one request", () =>
    Effect.gen(function* () {
      const storage = yield* Storage
      const keys = Array.from({ length: 70 }, (_, i) => `piece/${i}`)
      yield* Effect.forEach(keys, (key) => storage.put(object(key, bytesOf(key))), { concurrency: 8, discard: true })
      yield* storage.compose({ key: "pieces/a", contentType: "a/b", metadata: {} }, keys)
      assert.deepStrictEqual(yield* read("pieces/a"), bytesOf(keys.join("")))
      assert.deepStrictEqual(
        (yield* storage.list("pieces/")).objects.map(({ key }) => key),
        ["pieces/a"]
      )
    })
  )

  it.effect("composes create-only: the same bytes again succeed, other bytes conflict", () =>
    Effect.gen(function* () {
      const storage = yield* Storage
      yield* storage.put(object("bit/1", noise(10)))
      yield* storage.put(object("bit/2", noise(20)))
      const target = { key: "bits/a", contentType: "a/b", metadata: {} }
      const first = yield* storage.compose(target, ["bit/1", "bit/2"])
      assert.strictEqual((yield* storage.compose(target, ["bit/1", "bit/2"])).generation, first.generation)
      const conflict = yield* Effect.flip(storage.compose(target, ["bit/2", "bit/2"]))
      assert.deepStrictEqual([conflict._tag, conflict.key], ["ObjectConflict", "bits/a"])
      assert.strictEqual((yield* storage.head("bits/a")).size, 30)
    })
  )

  it.effect("composes nothing when a source is missing, and names it, or when there are no sources", () =>
    Effect.gen(function* () {
      const storage = yield* Storage
      yield* storage.put(object("half/1", noise(10)))
      const target = { key: "halves/a", contentType: "a/b", metadata: {} }
      const missing = yield* Effect.flip(storage.compose(target, ["half/1", "half/2"]))
      assert.deepStrictEqual([missing._tag, missing.key], ["ObjectNotFound", "half/2"])
      assert.strictEqual((yield* Effect.flip(storage.compose(target, [])))._tag, "StorageRefused")
      assert.deepStrictEqual((yield* storage.list("halves/")).objects, [])
    })
  )

  it.effect("replaces an object's metadata and nothing else", () =>
    Effect.gen(function* () {
      const storage = yield* Storage
      const put = yield* storage.put(object("label/a", noise(300_001), { a: "1", b: "2" }))
      const changed = yield* storage.setMetadata("label/a", { b: "3", c: "ü" })
      assert.deepStrictEqual(changed, { ...put, metadata: { b: "3", c: "ü" } })
      assert.deepStrictEqual(yield* storage.head("label/a"), changed)
      assert.deepStrictEqual((yield* storage.list("label/")).objects, [changed])
      assert.deepStrictEqual((yield* storage.setMetadata("label/a", {})).metadata, {})
      assert.deepStrictEqual(yield* read("label/a"), noise(300_001))
    })
  )

  it.effect("rejects metadata that is too large, and fails for a missing object", () =>
    Effect.gen(function* () {
      const storage = yield* Storage
      yield* storage.put(object("tag/a", noise(1), { a: "1" }))
      const refused = yield* Effect.flip(storage.setMetadata("tag/a", { a: "x".repeat(8_192) }))
      assert.strictEqual(refused._tag, "StorageRefused")
      assert.deepStrictEqual((yield* storage.head("tag/a")).metadata, { a: "1" })
      assert.strictEqual((yield* Effect.flip(storage.setMetadata("tag/b", {})))._tag, "ObjectNotFound")
    })
  )

  it.effect("does not recreate an object that is removed while its metadata is set", () =>
    Effect.gen(function* () {
      const storage = yield* Storage
      for (let i = 0; i < 20; i++) {
        yield* storage.put(object("flicker/a", noise(50_000)))
        yield* Effect.all(
          [
            Effect.exit(storage.setMetadata("flicker/a", { i: String(i) })),
            // Looked at a number of times first, so that it falls into each step of the other.
            storage
              .head("flicker/a")
              .pipe(Effect.repeat({ times: i % 10 }), Effect.ignore, Effect.andThen(storage.remove("flicker/a"))),
            Effect.exit(storage.setMetadata("flicker/a", { i: String(-i) }))
          ],
          { concurrency: "unbounded" }
        )
        assert.deepStrictEqual((yield* storage.list("flicker/")).objects, [])
      }
    })
  )

  it.effect("signs URLs for one object that expire after their lifetime", () =>
    Effect.gen(function* () {
      const storage = yield* Storage
      yield* storage.put(object("signed/a", noise(10)))
      yield* storage.put(object("signed/b", noise(10)))
      const lifetime = Duration.minutes(10)
      const first = yield* storage.signedUrl("signed/a", { lifetime })
      const now = yield* Clock.currentTimeMillis
      assert.isAtMost(first.expiresAt.getTime(), now + 600_000)
      assert.isAtLeast(first.expiresAt.getTime(), now + 597_000)
      const other = yield* storage.signedUrl("signed/b", { lifetime })
      const shorter = yield* storage.signedUrl("signed/a", { lifetime: Duration.minutes(5) })
      assert.strictEqual(new Set([first.url, other.url, shorter.url]).size, 3)
      assert.isAtMost(shorter.expiresAt.getTime(), now + 301_000)
    })
  )

  it.effect("signs no URL that outlives its object, and rejects zero and infinite lifetimes", () =>
    Effect.gen(function* () {
      const storage = yield* Storage
      const now = yield* Clock.currentTimeMillis
      const expires = (after: number) => ({ expires_at: new Date(now + after).toISOString() })
      yield* storage.put(object("fading/a", noise(10), expires(120_000)))
      yield* storage.put(object("fading/b", noise(10), expires(-1_000)))
      const { expiresAt } = yield* storage.signedUrl("fading/a", { lifetime: Duration.hours(1) })
      assert.isAtMost(expiresAt.getTime(), now + 120_000)
      for (const [key, lifetime] of [
        ["fading/b", Duration.hours(1)],
        ["fading/a", Duration.zero],
        ["fading/a", Duration.days(8)],
        ["fading/a", Duration.infinity]
      ] as const) {
        assert.strictEqual((yield* Effect.flip(storage.signedUrl(key, { lifetime })))._tag, "StorageRefused")
      }
    })
  )
}
