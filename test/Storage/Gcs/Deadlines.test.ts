/** Every request of `src/Storage/Gcs` ends within its deadline. */
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Fiber } from "effect"
import type { GcsServer } from "../../support/gcs/Server.ts"
import { object, operations, read, small, until } from "../support/GcsOperations.ts"
import { bucket, noise, using } from "../support/TestGcs.ts"

/** Puts `old` there without the store, whose limits are too short for a busy machine. */
const prepare = (server: GcsServer) =>
  Effect.sync(() => server.objects.put(bucket, "old", Buffer.from(small), {}, new URLSearchParams()))

describe("a request to the bucket", () => {
  it.live.each(operations)("fails at its deadline when the store never answers: %s", ([operation, run]) =>
    using(
      (server, storage) =>
        Effect.gen(function* () {
          yield* prepare(server)
          server.faults.add({ operation, fault: { kind: "stall" }, times: 10_000 })
          const [took, failure] = yield* Effect.timed(Effect.flip(run(storage)))
          assert.propertyVal(failure, "_tag", "StorageUnavailable")
          assert.isBelow(Duration.toSeconds(took), 30)
          assert.isAbove(server.count(operation), 1)
        }),
      { stallTimeout: Duration.millis(50), deadline: Duration.seconds(1) }
    )
  )

  it.live("ends each attempt at its timeout, even while bytes arrive", () =>
    using(
      (server, storage) =>
        Effect.gen(function* () {
          yield* storage.put(object("a", small))
          server.faults.add({ operation: "list", fault: { kind: "slow", piece: 1 } })
          yield* storage.list("")
          assert.isAbove(server.count("list"), 2)
        }),
      { attemptTimeout: Duration.millis(500), stallTimeout: Duration.seconds(5), deadline: Duration.minutes(1) }
    )
  )

  it.live("closes its socket at once when its caller is interrupted", () =>
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
            assert.isBelow(Duration.toSeconds(took), 20, operation)
            yield* until(() => server.sockets.size < open)
          }
        }),
      { stallTimeout: Duration.seconds(60), attemptTimeout: Duration.seconds(60), deadline: Duration.seconds(60) }
    )
  )

  it.live("fails at the deadline when a listing returns only empty pages", () =>
    using(
      (server, storage) =>
        Effect.gen(function* () {
          server.faults.add({ operation: "list", fault: { kind: "emptyPage" }, times: 1_000_000 })
          const [took, failure] = yield* Effect.timed(Effect.flip(storage.list("")))
          assert.strictEqual(failure._tag, "StorageUnavailable")
          assert.isBelow(Duration.toSeconds(took), 30)
        }),
      { deadline: Duration.millis(300) }
    )
  )

  it.live("applies the deadline to a whole read, its first attempt included", () =>
    using(
      (server, storage) =>
        Effect.gen(function* () {
          yield* prepare(server)
          server.faults.add({ operation: "media", fault: { kind: "stall" }, times: 1_000 })
          yield* Effect.flip(read(storage, "old"))
          // With the whole deadline after the first attempt, there would be three.
          assert.isAtMost(server.count("media"), 2)
        }),
      { stallTimeout: Duration.millis(1_800), deadline: Duration.seconds(2) }
    )
  )

  it.live("applies the deadline to a whole removal", () =>
    using(
      (server, storage) =>
        Effect.gen(function* () {
          yield* prepare(server)
          server.faults.add({ operation: "get", fault: { kind: "status", status: 503 }, times: 8 })
          server.faults.add({ operation: "remove", fault: { kind: "stall" }, times: 1_000 })
          yield* Effect.flip(storage.remove("old"))
          // The lookups take most of the deadline. With all of it, there would be eight.
          assert.isAtMost(server.count("remove"), 5)
        }),
      {
        stallTimeout: Duration.millis(50),
        deadline: Duration.seconds(2),
        retryBase: Duration.millis(200),
        retryCap: Duration.millis(200)
      }
    )
  )

  it.live("leaves a failed composition's parts to the next composition, which uses and removes them", () =>
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
          assert.isBelow(Duration.toSeconds(interrupted), 6)
          const [failed] = yield* Effect.timed(Effect.flip(compose))
          assert.isBelow(Duration.toSeconds(failed), 15, "less than twice the deadline")
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
      { stallTimeout: Duration.seconds(2), deadline: Duration.seconds(8) }
    )
  )

  it.live("reuses one connection for consecutive requests", () =>
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
