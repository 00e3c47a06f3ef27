/** Uploads over a faulty network: applied once and whole, or not at all. */
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect } from "effect"
import { large, object, read, small } from "../support/GcsOperations.ts"
import { bucket, using } from "../support/TestGcs.ts"

describe("uploads", () => {
  it.live("are applied once when the response is lost", () =>
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

  it.live("resume after the bytes that the store has committed", () =>
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

  it.live.each([0, 1_048_576, 1_048_575, 9_999_999])("restart when the store has lost their offset: %s", (bytes) =>
    using((server, storage) =>
      Effect.gen(function* () {
        server.faults.add({ operation: "chunk", skip: 2, fault: { kind: "committed", bytes } })
        assert.propertyVal(yield* Effect.flip(storage.put(object("a", large))), "_tag", "StorageUnavailable")
        yield* storage.put(object("a", large))
        assert.deepStrictEqual(yield* read(storage, "a"), large)
      })
    )
  )

  it.live("are polled until the store has finalized them", () =>
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

  it.live("send a chunk again when the store has nothing of it", () =>
    using((server, storage) =>
      Effect.gen(function* () {
        server.faults.add({ operation: "chunk", fault: { kind: "resetUpload", after: 1_000 } })
        yield* storage.put(object("a", large))
        assert.deepStrictEqual(yield* read(storage, "a"), large)
      })
    )
  )

  it.live("restart when their session is gone", () =>
    using((server, storage) =>
      Effect.gen(function* () {
        server.faults.add({ operation: "chunk", skip: 2, fault: { kind: "status", status: 410 } })
        assert.propertyVal(yield* Effect.flip(storage.put(object("a", large))), "_tag", "StorageUnavailable")
        yield* storage.put(object("a", large))
      })
    )
  )

  it.live("fail when they are damaged in transit, and leave no object", () =>
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

  it.live("are not aborted while they are slow but make progress", () =>
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
