/** Downloads over a faulty network: all bytes of one object, or a failure. */
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Stream } from "effect"
import type { Fault } from "../../support/gcs/Faults.ts"
import { large, object, read, small, until } from "../support/GcsOperations.ts"
import { using } from "../support/TestGcs.ts"

describe("downloads", () => {
  const cuts: ReadonlyArray<Fault> = [
    { kind: "resetDownload", after: 70_000 },
    { kind: "stallDownload", after: 70_000 },
    { kind: "shorten", after: 70_000 }
  ]
  it.live.each(cuts)("resume after the last received byte: %j", (fault) =>
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

  it.live("never mix two objects of the same name", () =>
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

  it.live("fail before their last piece when they are damaged", () =>
    using((server, storage) =>
      Effect.gen(function* () {
        yield* storage.put(object("a", large))
        server.faults.add({ operation: "media", fault: { kind: "corruptDownload" } })
        let seen = 0
        const counted = Stream.tap(storage.get("a"), (piece) => Effect.sync(() => (seen += piece.length)))
        assert.propertyVal(yield* Effect.flip(Stream.runDrain(counted)), "_tag", "ObjectDamaged")
        assert.isBelow(seen, large.length)
        assert.deepStrictEqual(yield* read(storage, "a"), large)
      })
    )
  )

  it.live("fail when the store ignores the range", () =>
    using((server, storage) =>
      Effect.gen(function* () {
        yield* storage.put(object("a", small))
        server.faults.add({ operation: "media", fault: { kind: "ignoreRange" } })
        const refused = yield* Effect.flip(read(storage, "a", { start: 5, end: 10 }))
        assert.propertyVal(refused, "_tag", "StorageRefused")
      })
    )
  )

  it.live("do not disturb a hundred others when they fail", () =>
    using(
      (server, storage) =>
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
        }),
      // Forty faults for a hundred readers, some of whom meet several.
      { stallTimeout: Duration.seconds(1), deadline: Duration.minutes(1) }
    )
  )
})

it.live("hold no connection when the response is not read", () =>
  using((server, storage) =>
    Effect.gen(function* () {
      yield* storage.put(object("a", large))
      server.faults.add({ operation: "media", fault: { kind: "ignoreRange" }, times: 20 })
      for (let i = 0; i < 20; i++) yield* Effect.flip(read(storage, "a", { start: 5, end: 10 }))
      yield* until(() => server.sockets.size <= 2)
    })
  )
)
