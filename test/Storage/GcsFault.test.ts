/** Whatever goes wrong on the way to the bucket: what may be done again is, and nothing else; nothing hangs, nothing is garbage. */
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Fiber, Stream } from "effect"
import type { Storage } from "../../src/Storage.ts"
import type { Fault } from "../support/gcs/Faults.ts"
import type { GcsServer } from "../support/gcs/Server.ts"
import { bucket, noise, using } from "./GcsTest.ts"

type Store = Storage["Service"]

const object = (key: string, body: Uint8Array) => ({ key, body, contentType: "a/b", metadata: { a: "1" } })
const read = (storage: Store, key: string, range?: { readonly start: number; readonly end: number }) =>
  Stream.mkUint8Array(storage.get(key, range))

const small = noise(100_000)
const large = noise(3_500_000)

/** Each operation on `old`, or on its own new object, and how the server calls the request that does it. */
const operations: ReadonlyArray<
  readonly [operation: string, run: (storage: Store) => Effect.Effect<unknown, unknown>]
> = [
  ["multipart", (storage) => storage.put(object("new", small))],
  ["resumable", (storage) => storage.put(object("new", large))],
  ["chunk", (storage) => storage.put(object("new", large))],
  ["media", (storage) => read(storage, "old")],
  ["get", (storage) => storage.head("old")],
  ["list", (storage) => storage.list("")],
  ["patch", (storage) => storage.setMetadata("old", { b: "2" })],
  ["compose", (storage) => storage.compose({ key: "new", contentType: "a/b", metadata: {} }, ["old", "old"])],
  ["remove", (storage) => storage.remove("old")]
]

const transient: ReadonlyArray<Fault> = [
  ...[408, 429, 500, 502, 503, 504].map((status) => ({ kind: "status", status }) as const),
  { kind: "resetUpload", after: 0 },
  { kind: "lose" },
  { kind: "stall" },
  { kind: "stallDownload", after: 5 },
  { kind: "resetDownload", after: 5 }
]

const withOld = <A, E>(use: (server: GcsServer, storage: Store) => Effect.Effect<A, E>) =>
  using((server, storage) =>
    Effect.gen(function* () {
      yield* storage.put(object("old", small))
      return yield* use(server, storage)
    })
  )

describe("what may pass", () => {
  it.live.each(operations)("is tried again: %s", ([operation, run]) =>
    Effect.forEach(
      transient,
      (fault) =>
        withOld((server, storage) =>
          Effect.gen(function* () {
            server.faults.add({ operation, fault, times: 2 })
            yield* run(storage)
            assert.isAtLeast(server.faults.used, 1, JSON.stringify(fault))
          })
        ),
      { discard: true, concurrency: 4 }
    )
  )

  it.live("is only tried again because it is a read or says what it expects to find", () =>
    withOld((server, storage) =>
      Effect.gen(function* () {
        yield* Effect.forEach(operations, ([, run]) => Effect.ignore(run(storage)))
        const writes = server.seen.filter(({ method, operation }) => method !== "GET" && operation !== "chunk")
        assert.isAbove(writes.length, 5)
        for (const { operation, target } of writes) assert.match(target, /ifGenerationMatch=\d+/, operation)
      })
    )
  )

  it.live.each([400, 401, 403, 405])("is not %s, which is the answer at once", (status) =>
    withOld((server, storage) =>
      Effect.forEach(
        operations.filter(([operation]) => operation !== "chunk"),
        ([operation, run]) =>
          Effect.gen(function* () {
            const before = server.count(operation)
            server.faults.add({ operation, fault: { kind: "status", status } })
            const refused = yield* Effect.flip(run(storage))
            assert.propertyVal(refused, "_tag", "StorageRefused")
            assert.strictEqual(server.count(operation) - before, 1)
          })
      )
    )
  )

  it.live("is the limit of one write a second", () =>
    using(
      (server, storage) =>
        Effect.gen(function* () {
          yield* storage.put(object("often", small))
          yield* storage.remove("often")
          yield* storage.put(object("often", small))
          assert.isAbove(server.count("multipart"), 2)
        }),
      {},
      { writesPerSecond: 5 }
    )
  )
})

describe("uploads", () => {
  it.live("are done once, though the answer was lost", () =>
    using((server, storage) =>
      Effect.gen(function* () {
        for (const [key, bytes, operation] of [
          ["a", small, "multipart"],
          ["b", large, "chunk"]
        ] as const) {
          server.faults.add({ operation, fault: { kind: "lose" }, skip: operation === "chunk" ? 3 : 0 })
          const head = yield* storage.put(object(key, bytes))
          assert.strictEqual(head.generation, String(server.objects.bucket(bucket).get(key)?.generation))
          assert.deepStrictEqual(yield* read(storage, key), bytes)
        }
      })
    )
  )

  it.live("go on from what the store has committed", () =>
    using((server, storage) =>
      Effect.gen(function* () {
        server.faults.add(
          { operation: "chunk", skip: 1, fault: { kind: "resetUpload", after: 600_000 } },
          { operation: "chunk", skip: 1, fault: { kind: "resetUpload", after: 0 } }
        )
        yield* storage.put(object("a", large))
        const ranges = server.seen.flatMap(({ headers, operation }) =>
          operation === "chunk" ? [headers["content-range"]] : []
        )
        assert.deepStrictEqual(ranges.slice(0, 2), ["bytes 0-1048575/3500000", "bytes 1048576-2097151/3500000"])
        assert.include(ranges, "bytes */3500000")
        assert.include(ranges, "bytes 1572864-2097151/3500000")
        assert.deepStrictEqual(yield* read(storage, "a"), large)
      })
    )
  )

  it.live.each([0, 1_048_576, 1_048_575, 9_999_999])(
    "can be begun anew when the store has lost its place: %s",
    (bytes) =>
      using((server, storage) =>
        Effect.gen(function* () {
          server.faults.add({ operation: "chunk", skip: 2, fault: { kind: "committed", bytes } })
          assert.propertyVal(yield* Effect.flip(storage.put(object("a", large))), "_tag", "StorageUnavailable")
          yield* storage.put(object("a", large))
          assert.deepStrictEqual(yield* read(storage, "a"), large)
        })
      )
  )

  it.live("that are all there, but not done, are asked for until they are", () =>
    using((server, storage) =>
      Effect.gen(function* () {
        const fault = { kind: "committed", bytes: large.length } as const
        server.faults.add({ operation: "chunk", skip: 3, times: 3, fault })
        yield* storage.put(object("a", large))
        assert.strictEqual(server.faults.used, 3)
        assert.deepStrictEqual(yield* read(storage, "a"), large)
      })
    )
  )

  it.live("begin their chunk anew when nothing of it is there", () =>
    using((server, storage) =>
      Effect.gen(function* () {
        server.faults.add({ operation: "chunk", fault: { kind: "resetUpload", after: 1_000 } })
        yield* storage.put(object("a", large))
        assert.deepStrictEqual(yield* read(storage, "a"), large)
      })
    )
  )

  it.live("of a session that is gone can be begun anew", () =>
    using((server, storage) =>
      Effect.gen(function* () {
        server.faults.add({ operation: "chunk", skip: 2, fault: { kind: "status", status: 410 } })
        assert.propertyVal(yield* Effect.flip(storage.put(object("a", large))), "_tag", "StorageUnavailable")
        yield* storage.put(object("a", large))
      })
    )
  )

  it.live("that are damaged on their way are noticed, and nothing of them is kept", () =>
    using((server, storage) =>
      Effect.gen(function* () {
        server.faults.add({ operation: "multipart", fault: { kind: "corruptUpload" }, times: 2 })
        yield* storage.put(object("a", small))
        assert.deepStrictEqual(yield* read(storage, "a"), small)
        server.faults.add({ operation: "chunk", skip: 1, fault: { kind: "corruptUpload" } })
        assert.propertyVal(yield* Effect.flip(storage.put(object("b", large))), "_tag", "StorageUnavailable")
        assert.propertyVal(yield* Effect.flip(storage.head("b")), "_tag", "ObjectNotFound")
      })
    )
  )

  it.live("that are slow, but move, are not cut", () =>
    using(
      (server, storage) =>
        Effect.gen(function* () {
          yield* storage.put(object("a", small))
          server.faults.add({ operation: "media", fault: { kind: "slow", piece: 2_500 } })
          assert.deepStrictEqual(yield* read(storage, "a"), small)
          assert.strictEqual(server.count("media"), 1)
        }),
      { stallTimeout: Duration.millis(200), attemptTimeout: Duration.millis(300) }
    )
  )
})

describe("downloads", () => {
  const cuts: ReadonlyArray<Fault> = [
    { kind: "resetDownload", after: 70_000 },
    { kind: "stallDownload", after: 70_000 },
    { kind: "shorten", after: 70_000 }
  ]
  it.live.each(cuts)("go on after the last byte that came: %j", (fault) =>
    using((server, storage) =>
      Effect.gen(function* () {
        yield* storage.put(object("a", large))
        for (const range of [undefined, { start: 1_000, end: 900_000 }]) {
          server.faults.add({ operation: "media", fault, times: 3 })
          const before = server.seen.length
          assert.deepStrictEqual(yield* read(storage, "a", range), large.slice(range?.start, range?.end))
          const [first, ...more] = server.seen.slice(before)
          assert.notInclude(first?.target, "generation=")
          assert.strictEqual(more.length, 3)
          for (const { headers, target } of more) {
            assert.include(target, "generation=")
            assert.match(headers["range"] ?? "", /^bytes=[1-9]\d*-\d+$/)
          }
        }
      })
    )
  )

  it.live("never mix two objects that had the same name", () =>
    using((server, storage) =>
      Effect.gen(function* () {
        yield* storage.put(object("a", large))
        server.faults.add({ operation: "media", fault: { kind: "resetDownload", after: 100_000 } })
        let isReplaced = false
        const replaced = Stream.tap(storage.get("a"), () =>
          Effect.suspend(() => {
            if (isReplaced) return Effect.void
            isReplaced = true
            return Effect.andThen(storage.remove("a"), storage.put(object("a", large.toReversed())))
          })
        )
        assert.propertyVal(yield* Effect.flip(Stream.runDrain(replaced)), "_tag", "ObjectNotFound")
      })
    )
  )

  it.live("that are damaged fail before their last piece", () =>
    using((server, storage) =>
      Effect.gen(function* () {
        yield* storage.put(object("a", large))
        server.faults.add({ operation: "media", fault: { kind: "corruptDownload" } })
        let seen = 0
        const counted = Stream.tap(storage.get("a"), (piece) => Effect.sync(() => (seen += piece.length)))
        assert.propertyVal(yield* Effect.flip(Stream.runDrain(counted)), "_tag", "StorageUnavailable")
        assert.isBelow(seen, large.length)
        assert.deepStrictEqual(yield* read(storage, "a"), large)
      })
    )
  )

  it.live("are not taken from a store that ignores the range", () =>
    using((server, storage) =>
      Effect.gen(function* () {
        yield* storage.put(object("a", small))
        server.faults.add({ operation: "media", fault: { kind: "ignoreRange" } })
        const refused = yield* Effect.flip(read(storage, "a", { start: 5, end: 10 }))
        assert.propertyVal(refused, "_tag", "StorageRefused")
      })
    )
  )

  it.live("that fail do not disturb a hundred others", () =>
    using((server, storage) =>
      Effect.gen(function* () {
        yield* storage.put(object("a", large))
        const faults: ReadonlyArray<Fault> = [
          { kind: "status", status: 503 },
          { kind: "resetDownload", after: 50_000 },
          { kind: "resetUpload", after: 0 },
          { kind: "stallDownload", after: 50_000 },
          { kind: "shorten", after: 50_000 }
        ]
        for (const fault of faults) server.faults.add({ operation: "media", fault, times: 8 })
        const range = (i: number) => ({ start: i * 1_000, end: i * 1_000 + 200_000 })
        const early = (i: number) => Stream.runDrain(Stream.take(storage.get("a"), 1 + (i % 2)))
        yield* Effect.forEach(
          Array.from({ length: 100 }, (_, i) => i),
          (i) =>
            i % 5 === 0
              ? early(i)
              : Effect.map(read(storage, "a", range(i)), (bytes) => {
                  assert.strictEqual(Buffer.compare(bytes, large.subarray(i * 1_000, i * 1_000 + 200_000)), 0)
                }),
          { concurrency: "unbounded" }
        )
      })
    )
  )
})

describe("time", () => {
  it.live.each(operations)("is bounded when nothing ever answers: %s", ([operation, run]) =>
    using(
      (server, storage) =>
        Effect.gen(function* () {
          yield* storage.put(object("old", small))
          server.faults.add({ operation, fault: { kind: "stall" }, times: 1_000 })
          const [took, failure] = yield* Effect.timed(Effect.flip(run(storage)))
          assert.propertyVal(failure, "_tag", "StorageUnavailable")
          assert.isBelow(Duration.toMillis(took), 1_500)
          assert.isAbove(server.count(operation), 2)
        }),
      { stallTimeout: Duration.millis(50), deadline: Duration.millis(500) }
    )
  )

  it.live("of an attempt is bounded, though bytes move", () =>
    using(
      (server, storage) =>
        Effect.gen(function* () {
          yield* storage.put(object("a", small))
          server.faults.add({ operation: "list", fault: { kind: "slow", piece: 4 } })
          yield* storage.list("")
          assert.isAbove(server.count("list"), 2)
        }),
      { attemptTimeout: Duration.millis(200) }
    )
  )

  it.live("is not waited for when the caller goes: its socket is closed at once", () =>
    using(
      (server, storage) =>
        Effect.gen(function* () {
          yield* storage.put(object("old", small))
          for (const [operation, run] of operations) {
            const before = server.count(operation)
            server.faults.add({ operation, fault: { kind: "stall" } })
            const fiber = yield* Effect.forkChild(Effect.ignore(run(storage)))
            yield* until(() => server.count(operation) > before)
            const open = server.sockets.size
            const [took] = yield* Effect.timed(Fiber.interrupt(fiber))
            assert.isBelow(Duration.toMillis(took), 1_000, operation)
            yield* until(() => server.sockets.size < open)
          }
        }),
      { stallTimeout: Duration.seconds(60), attemptTimeout: Duration.seconds(60), deadline: Duration.seconds(60) }
    )
  )

  it.live("of a listing is bounded, though page after page comes and is empty", () =>
    using(
      (server, storage) =>
        Effect.gen(function* () {
          server.faults.add({ operation: "list", fault: { kind: "emptyPage" }, times: 1_000_000 })
          const [took, failure] = yield* Effect.timed(Effect.flip(storage.list("")))
          assert.strictEqual(failure._tag, "StorageUnavailable")
          assert.isBelow(Duration.toMillis(took), 1_500)
        }),
      { deadline: Duration.millis(300) }
    )
  )

  it.live("is bounded for a read as a whole, its first attempt among it", () =>
    using(
      (server, storage) =>
        Effect.gen(function* () {
          yield* storage.put(object("old", small))
          server.faults.add({ operation: "media", fault: { kind: "stall" }, times: 1_000 })
          const [took] = yield* Effect.timed(Effect.flip(read(storage, "old")))
          assert.isBelow(Duration.toMillis(took), 650)
        }),
      { stallTimeout: Duration.millis(300), deadline: Duration.millis(500) }
    )
  )

  it.live("is bounded for a removal as a whole", () =>
    using(
      (server, storage) =>
        Effect.gen(function* () {
          yield* storage.put(object("old", small))
          server.faults.add({ operation: "get", fault: { kind: "status", status: 503 }, times: 8 })
          server.faults.add({ operation: "remove", fault: { kind: "stall" }, times: 1_000 })
          const [took] = yield* Effect.timed(Effect.flip(storage.remove("old")))
          assert.isBelow(Duration.toMillis(took), 650)
        }),
      { stallTimeout: Duration.millis(50), deadline: Duration.millis(500) }
    )
  )

  it.live(
    "of a composition that fails or is interrupted is not spent on what it made; who composes again goes on with that, and removes it",
    () =>
      using(
        (server, storage) =>
          Effect.gen(function* () {
            const keys = Array.from({ length: 300 }, (_, i) => `part/${i}`)
            yield* Effect.forEach(keys, (key) => storage.put(object(key, noise(10))), {
              concurrency: 16,
              discard: true
            })
            const compose = storage.compose({ key: "whole/a", contentType: "a/b", metadata: {} }, keys)
            const stall = (operation: string, skip = 0) =>
              server.faults.add({ operation, skip, fault: { kind: "stall" }, times: 1_000 })
            stall("compose", 9)
            stall("get")
            const fiber = yield* Effect.forkChild(Effect.exit(compose))
            yield* until(() => server.count("compose") > 9)
            const [interrupted] = yield* Effect.timed(Fiber.interrupt(fiber))
            assert.isBelow(Duration.toMillis(interrupted), 200)
            const [failed] = yield* Effect.timed(Effect.flip(compose))
            assert.isBelow(Duration.toMillis(failed), 1_500)
            server.faults.clear()
            const left = [...server.objects.bucket(bucket).keys()].filter((key) => key.includes("composing"))
            assert.strictEqual(left.length, 9)
            const [first = ""] = left
            server.objects.put(bucket, first, Buffer.from("others"), {}, new URLSearchParams())
            yield* compose
            assert.deepStrictEqual(yield* read(storage, "whole/a"), Buffer.concat(keys.map(() => noise(10))).subarray())
            const { objects } = yield* storage.list("whole/")
            assert.deepStrictEqual(
              objects.map(({ key }) => key),
              ["whole/a"]
            )
          }),
        { stallTimeout: Duration.millis(300), deadline: Duration.millis(900) }
      )
  )

  it.live("is saved: one connection serves one request after the other", () =>
    using((server, storage) =>
      Effect.gen(function* () {
        let connections = 0
        const seen = new Set(server.sockets)
        for (let i = 0; i < 20; i++) {
          yield* storage.put(object(`a/${i}`, small))
          yield* read(storage, `a/${i}`)
          yield* read(storage, `a/${i}`, { start: 5, end: 500 })
          for (const socket of server.sockets) {
            if (!seen.has(socket)) connections++
            seen.add(socket)
          }
        }
        assert.isAtMost(connections, 2)
      })
    )
  )
})

it.live("an answer that nobody reads holds no connection", () =>
  using((server, storage) =>
    Effect.gen(function* () {
      yield* storage.put(object("a", large))
      server.faults.add({ operation: "media", fault: { kind: "ignoreRange" }, times: 20 })
      for (let i = 0; i < 20; i++) yield* Effect.flip(read(storage, "a", { start: 5, end: 10 }))
      yield* until(() => server.sockets.size <= 2)
    })
  )
)

/** Waits for what the server sees, which is in this process. */
const until = (is: () => boolean) =>
  Effect.whileLoop({ while: () => !is(), body: () => Effect.sleep("1 millis"), step: () => {} })
