/** What every object store must do, whatever it is made of. */
import { assert, layer as block } from "@effect/vitest"
import { crc32c } from "@node-rs/crc32"
import { Deferred, Duration, Effect, Fiber, Schema, Stream } from "effect"
import type { Layer } from "effect"
import { Storage, StorageUnavailable } from "../../src/Storage.ts"
import { changes } from "./ChangesTest.ts"
import { bytesOf, noise, object, read } from "./support/Objects.ts"

const streamOf = (bytes: Uint8Array, piece: number) =>
  Stream.fromIterable(
    Array.from({ length: Math.ceil(bytes.length / piece) }, (_, i) => bytes.subarray(i * piece, (i + 1) * piece))
  )

/** Every key under the prefix, read in pages of `limit`. */
const pages = Effect.fnUntraced(function* (prefix: string, limit: number) {
  const storage = yield* Storage
  const keys: Array<Array<string>> = []
  let after: string | undefined = ""
  while (after !== undefined) {
    const page: { objects: ReadonlyArray<{ key: string }>; next: string | undefined } = yield* storage.list(prefix, {
      after,
      limit
    })
    keys.push(page.objects.map(({ key }) => key))
    after = page.next
  }
  return keys
})

const badKeys = [
  "",
  "/",
  "/a",
  "a/",
  "a//b",
  ".",
  "..",
  "a/../b",
  "../../etc/passwd",
  "a/./b",
  "a\\b",
  "a\0b",
  "a b",
  "a+b",
  "a=",
  "é",
  "~tmp/x",
  "x".repeat(201),
  `${"x/".repeat(512)}y`
]

/** Names that share starts, and sort otherwise than their directories do (`-` and `.` come before `/`). */
const KeyPart = Schema.Literals(["a", "A", "a.b", "a-b", "ab", "a0", "b"])
const Keys = Schema.Array(Schema.Array(KeyPart).check(Schema.isBetweenLength(1, 3))).check(
  Schema.isBetweenLength(15, 40)
)
const Amount = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 700_000 }))

export const suite = (name: string, layer: Layer.Layer<Storage, unknown>) => {
  /** Prefixes for the runs of a property, which share one store. */
  let runs = 0

  block(layer, { excludeTestServices: true })(name, (it) => {
    it.effect("returns the bytes, type and metadata that were put", () =>
      Effect.gen(function* () {
        const storage = yield* Storage
        const bytes = noise(1_000_003)
        const metadata = { v2_start: "1700000000.125", note: "grün – 日本" }
        const put = yield* storage.put(object("whole/a.bin", bytes, metadata))
        assert.deepStrictEqual(
          { ...put, generation: "", createdAt: 0 },
          {
            key: "whole/a.bin",
            size: bytes.length,
            crc32c: crc32c(bytes),
            generation: "",
            contentType: "application/octet-stream",
            metadata,
            createdAt: 0
          }
        )
        assert.deepStrictEqual(yield* storage.head("whole/a.bin"), put)
        assert.deepStrictEqual(yield* read("whole/a.bin"), bytes)
      })
    )

    it.effect("accepts an empty object", () =>
      Effect.gen(function* () {
        const storage = yield* Storage
        yield* storage.put(object("empty/a", new Uint8Array(0)))
        yield* storage.put(object("empty/b", { size: 0, stream: Stream.empty }))
        assert.strictEqual((yield* storage.head("empty/b")).size, 0)
        assert.deepStrictEqual(yield* read("empty/a"), new Uint8Array(0))
        assert.deepStrictEqual(yield* read("empty/b"), new Uint8Array(0))
      })
    )

    it.effect("accepts a stream of the announced size", () =>
      Effect.gen(function* () {
        const storage = yield* Storage
        const bytes = noise(700_001)
        const head = yield* storage.put(
          object("stream/a", { size: bytes.length, stream: streamOf(bytes, 65_536) }, { a: "b" })
        )
        assert.strictEqual(head.crc32c, crc32c(bytes))
        assert.deepStrictEqual(yield* storage.head("stream/a"), head)
        assert.deepStrictEqual(yield* read("stream/a"), bytes)
      })
    )

    it.effect("rejects a stream that is shorter or longer than announced, and leaves no object", () =>
      Effect.gen(function* () {
        const storage = yield* Storage
        for (const size of [9, 11]) {
          const body = { size, stream: streamOf(noise(10), 3) }
          assert.strictEqual((yield* Effect.flip(storage.put(object("wrong/a", body))))._tag, "StorageRefused")
        }
        assert.strictEqual((yield* Effect.flip(storage.head("wrong/a")))._tag, "ObjectNotFound")
        assert.deepStrictEqual((yield* storage.list("wrong/")).objects, [])
      })
    )

    it.effect("reads no more of an endless stream than was announced", () =>
      Effect.gen(function* () {
        const storage = yield* Storage
        const stream = Stream.forever(Stream.succeed(noise(100)))
        const refused = yield* Effect.flip(storage.put(object("endless/a", { size: 1_000, stream })))
        assert.strictEqual(refused._tag, "StorageRefused")
      })
    )

    it.effect("fails when its stream fails, and leaves no object", () =>
      Effect.gen(function* () {
        const storage = yield* Storage
        const failure = new StorageUnavailable({ operation: "get", bucket: "other", key: "x", cause: "cut" })
        const stream = Stream.concat(Stream.make(noise(5)), Stream.fail(failure))
        assert.strictEqual(yield* Effect.flip(storage.put(object("cut/a", { size: 10, stream }))), failure)
        assert.deepStrictEqual((yield* storage.list("cut/")).objects, [])
      })
    )

    it.effect("leaves no object when a put is interrupted", () =>
      Effect.gen(function* () {
        const storage = yield* Storage
        const started = yield* Deferred.make<void>()
        const stream = Stream.concat(
          Stream.make(noise(5)),
          Stream.fromEffect(Effect.andThen(Deferred.succeed(started, undefined), Effect.never))
        )
        const put = yield* Effect.forkChild(storage.put(object("interrupted/a", { size: 10, stream })))
        yield* Deferred.await(started)
        yield* Fiber.interrupt(put)
        assert.deepStrictEqual((yield* storage.list("interrupted/")).objects, [])
        yield* storage.put(object("interrupted/a", noise(10)))
      })
    )

    it.effect("returns the existing object when the same put is repeated", () =>
      Effect.gen(function* () {
        const storage = yield* Storage
        const first = yield* storage.put(object("again/a", noise(1_000), { take: "1" }))
        const body = { size: 1_000, stream: streamOf(noise(1_000), 400) }
        assert.deepStrictEqual(yield* storage.put(object("again/a", body, { take: "2" })), first)
        assert.deepStrictEqual(yield* storage.head("again/a"), first)
      })
    )

    it.effect("never overwrites an object with other bytes", () =>
      Effect.gen(function* () {
        const storage = yield* Storage
        yield* storage.put(object("taken/a", noise(1_000)))
        for (const other of [noise(999), noise(1_000).toReversed()]) {
          const conflict = yield* Effect.flip(storage.put(object("taken/a", other)))
          assert.deepStrictEqual(
            [conflict._tag, conflict.key, conflict.operation],
            ["ObjectConflict", "taken/a", "put"]
          )
        }
        assert.deepStrictEqual(yield* read("taken/a"), noise(1_000))
      })
    )

    it.effect("lets exactly one of several concurrent puts create the object", () =>
      Effect.gen(function* () {
        const storage = yield* Storage
        const puts = Array.from({ length: 12 }, (_, i) => storage.put(object("race/a", noise(50_000 + i))))
        const [conflicts, winners] = yield* Effect.partition(puts, (put) => Effect.flip(put), {
          concurrency: "unbounded"
        })
        assert.strictEqual(winners.length, 1)
        assert.deepStrictEqual(new Set(conflicts.map(({ _tag }) => _tag)), new Set(["ObjectConflict"]))
        assert.deepStrictEqual(yield* storage.head("race/a"), winners[0])
        assert.deepStrictEqual(yield* read("race/a"), noise(winners[0]?.size ?? 0))
      })
    )

    it.effect.prop(
      "returns any range of an object, clipped to its end",
      { size: Amount, from: Amount, length: Amount },
      Effect.fnUntraced(function* ({ from, length, size }) {
        const storage = yield* Storage
        const bytes = noise(size)
        yield* storage.put(object(`range/${size}`, bytes))
        const part = yield* read(`range/${size}`, { start: from, end: from + length })
        assert.deepStrictEqual(part, bytes.slice(from, from + length))
        const atOnce = yield* storage.read(`range/${size}`, { start: from, end: from + length })
        assert.isTrue(Buffer.from(atOnce).equals(part))
      }),
      { arbitrary: { runs: 25 } }
    )

    it.effect("rejects invalid ranges", () =>
      Effect.gen(function* () {
        const storage = yield* Storage
        yield* storage.put(object("ranges/a", noise(10)))
        for (const [start, end] of [
          [-1, 5],
          [5, 4],
          [0.5, 2],
          [0, Number.NaN],
          [0, Number.POSITIVE_INFINITY]
        ] as const) {
          assert.strictEqual((yield* Effect.flip(read("ranges/a", { start, end })))._tag, "StorageRefused")
        }
      })
    )

    it.effect("fails to read an object that does not exist", () =>
      Effect.gen(function* () {
        const storage = yield* Storage
        yield* storage.put(object("dir/a", noise(1)))
        for (const key of ["none", "dir", "dir/b", "dir/a/b"]) {
          assert.strictEqual((yield* Effect.flip(storage.head(key)))._tag, "ObjectNotFound")
          assert.strictEqual((yield* Effect.flip(read(key)))._tag, "ObjectNotFound")
        }
      })
    )

    it.effect("removes an object, and succeeds for a missing one", () =>
      Effect.gen(function* () {
        const storage = yield* Storage
        const first = yield* storage.put(object("gone/deep/a", noise(10)))
        yield* storage.remove("gone/deep/a")
        assert.strictEqual((yield* Effect.flip(storage.head("gone/deep/a")))._tag, "ObjectNotFound")
        assert.deepStrictEqual((yield* storage.list("gone/")).objects, [])
        yield* storage.remove("gone/deep/a")
        yield* storage.remove("never/was")
        const second = yield* storage.put(object("gone/deep/a", noise(11)))
        assert.notStrictEqual(second.generation, first.generation)
      })
    )

    changes(it)

    it.effect("keeps objects apart when neighbours are put and removed", () =>
      Effect.gen(function* () {
        const storage = yield* Storage
        const job = Effect.fnUntraced(function* (i: number) {
          const key = `busy/${i % 3}/x/${i}`
          for (let round = 0; round < 8; round++) {
            yield* storage.put(object(key, noise(10)))
            yield* storage.remove(key)
          }
          yield* storage.put(object(key, noise(10)))
        })
        yield* Effect.forEach([0, 1, 2, 3, 4, 5, 6, 7], job, { concurrency: "unbounded", discard: true })
        assert.strictEqual((yield* storage.list("busy/")).objects.length, 8)
      })
    )

    it.effect.each(badKeys)("rejects %j as a name in every operation", (key) =>
      Effect.gen(function* () {
        const storage = yield* Storage
        const refusals = yield* Effect.all([
          Effect.flip(storage.put(object(key, noise(1)))),
          Effect.flip(storage.head(key)),
          Effect.flip(read(key)),
          Effect.flip(storage.remove(key)),
          Effect.flip(storage.removeMany(["fine/a", key])),
          Effect.flip(storage.setMetadata(key, {})),
          Effect.flip(storage.compose({ key, contentType: "a/b", metadata: {} }, ["fine/a"])),
          Effect.flip(storage.compose({ key: "fine/b", contentType: "a/b", metadata: {} }, ["fine/a", key])),
          Effect.flip(storage.signedUrl(key, { lifetime: Duration.minutes(1) }))
        ])
        for (const refusal of refusals) {
          assert.deepStrictEqual([refusal._tag, refusal.key], ["StorageRefused", key])
        }
      })
    )

    it.effect("rejects a prefix that is not a name with a / at its end", () =>
      Effect.gen(function* () {
        const storage = yield* Storage
        for (const prefix of ["a", "/", "a//", "../", "a/.", "a b/"]) {
          assert.strictEqual((yield* Effect.flip(storage.list(prefix)))._tag, "StorageRefused")
        }
      })
    )

    it.effect("rejects more than 8 KiB of metadata", () =>
      Effect.gen(function* () {
        const storage = yield* Storage
        const fits = { a: "é".repeat(4_000) }
        assert.deepStrictEqual((yield* storage.put(object("meta/a", noise(1), fits))).metadata, fits)
        assert.deepStrictEqual((yield* storage.head("meta/a")).metadata, fits)
        const refused = yield* Effect.flip(storage.put(object("meta/b", noise(1), { a: "x".repeat(8_192) })))
        assert.strictEqual(refused._tag, "StorageRefused")
      })
    )

    it.effect("rejects an invalid content type", () =>
      Effect.gen(function* () {
        const storage = yield* Storage
        const type = "audio/ogg; codecs=opus"
        const first = yield* storage.put({ ...object("type/a", noise(1)), contentType: type })
        assert.strictEqual(first.contentType, type)
        for (const [i, contentType] of ["", "a\nb", "é/b", "a", `a/${"b".repeat(256)}`].entries()) {
          for (const body of [noise(1), noise(1_500_000)]) {
            const put = { ...object(`type/${i}`, body), contentType }
            assert.strictEqual((yield* Effect.flip(storage.put(put)))._tag, "StorageRefused")
          }
          const target = { key: `type/${i}`, contentType, metadata: {} }
          assert.strictEqual((yield* Effect.flip(storage.compose(target, ["type/a"])))._tag, "StorageRefused")
        }
      })
    )

    it.effect("keeps names apart that differ only in case, share a prefix, or are long", () =>
      Effect.gen(function* () {
        const storage = yield* Storage
        const keys = [
          "case/Abc",
          "case/abc",
          "case/abC",
          "case/ABC",
          "case/abc/ABC",
          "case/abc/abc",
          "case/abc.",
          "case/...",
          `case/${"x".repeat(200)}`,
          `case/${"X".repeat(200)}`,
          `case/${"X".repeat(199)}/${"Yz".repeat(100)}`,
          `case/${"Z/".repeat(60)}Z`,
          `case/${`${"Long".repeat(50)}/`.repeat(5)}${"z".repeat(14)}`
        ]
        yield* Effect.forEach(keys, (key) => storage.put(object(key, bytesOf(key))))
        for (const key of keys) assert.deepStrictEqual(yield* read(key), bytesOf(key))
        assert.deepStrictEqual((yield* pages("case/", 1_000)).flat(), [...keys].sort())
      })
    )

    it.effect.prop(
      "lists every object under a prefix once, by name, page by page",
      { parts: Keys, limit: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 7 })) },
      Effect.fnUntraced(function* ({ limit, parts }) {
        const storage = yield* Storage
        const root = `list/${runs++}`
        const names = [...new Set(parts.map((segments) => segments.join("/")))].sort()
        yield* Effect.forEach(names, (key) => storage.put(object(`${root}/${key}`, bytesOf(key))), { concurrency: 4 })
        for (const prefix of ["", "a/", "A/", "b/a/", "a.b/"]) {
          const keys = names.filter((key) => key.startsWith(prefix)).map((key) => `${root}/${key}`)
          const found = yield* pages(`${root}/${prefix}`, limit)
          assert.deepStrictEqual(found.flat(), keys)
          assert.strictEqual(found.length, Math.max(1, Math.ceil(keys.length / limit)))
        }
      }),
      { arbitrary: { runs: 20 } }
    )

    it.effect("lists at most 1,000 objects a page, with their size, type and metadata", () =>
      Effect.gen(function* () {
        const storage = yield* Storage
        const names = Array.from({ length: 1_003 }, (_, i) => `many/${String(i).padStart(5, "0")}`)
        yield* Effect.forEach(names, (key) => storage.put(object(key, bytesOf(key), { key })), {
          concurrency: 16,
          discard: true
        })
        const page = yield* storage.list("many/", { limit: 5_000 })
        assert.deepStrictEqual([page.objects.length, page.next], [1_000, names[999]])
        assert.deepStrictEqual(page.objects[7], yield* storage.head(names[7] ?? ""))
        const rest = yield* storage.list("many/", { after: page.next ?? "" })
        assert.deepStrictEqual([rest.objects.map(({ key }) => key), rest.next], [names.slice(1_000), undefined])
      })
    )

    it.effect("lists the whole store when the prefix is empty", () =>
      Effect.gen(function* () {
        const storage = yield* Storage
        yield* storage.put(object("0000", noise(1)))
        assert.strictEqual((yield* storage.list("", { limit: 1 })).objects[0]?.key, "0000")
      })
    )
  })
}
