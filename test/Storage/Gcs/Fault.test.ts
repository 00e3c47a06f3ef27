/** Which failures of the bucket are retried. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import type { Storage } from "../../../src/Storage.ts"
import type { Fault } from "../../support/gcs/Faults.ts"
import type { GcsServer } from "../../support/gcs/Server.ts"
import { object, operations, small } from "../support/GcsOperations.ts"
import { bucket, using } from "../support/TestGcs.ts"

const transient: ReadonlyArray<Fault> = [
  ...[408, 429, 500, 502, 503, 504].map((status) => ({ kind: "status", status }) as const),
  { kind: "resetUpload", after: 0 },
  { kind: "lose" },
  { kind: "stall" },
  { kind: "stallDownload", after: 5 },
  { kind: "resetDownload", after: 5 }
]

const withOld = <A, E>(use: (server: GcsServer, storage: Storage["Service"]) => Effect.Effect<A, E>) =>
  using((server, storage) =>
    Effect.gen(function* () {
      yield* storage.put(object("old", small))
      return yield* use(server, storage)
    })
  )

describe("a transient error", () => {
  it.live.each(operations)("is retried: %s", ([operation, run]) =>
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

  it.live("is retried only for reads and for writes with a precondition", () =>
    withOld((server, storage) =>
      Effect.gen(function* () {
        yield* Effect.forEach(operations, ([, run]) => Effect.ignore(run(storage)))
        const writes = server.seen.filter(({ method, operation }) => method !== "GET" && operation !== "chunk")
        assert.isAbove(writes.length, 5)
        for (const { operation, target } of writes) assert.match(target, /ifGenerationMatch=\d+/, operation)
      })
    )
  )

  it.live.each([400, 403, 405])("is not retried for %s", (status) =>
    withOld((server, storage) =>
      Effect.forEach(
        operations.filter(([operation]) => operation !== "chunk"),
        ([operation, run]) =>
          Effect.gen(function* () {
            const before = server.count(operation)
            server.faults.add({ operation, fault: { kind: "status", status } })
            const refused = yield* Effect.flip(run(storage))
            assert.propertyVal(refused, "_tag", "StorageRefused")
            assert.match(String(refused), new RegExp(`can't \\w+ ${bucket}.*: refused: .*\\(${status}\\)`))
            assert.strictEqual(server.count(operation) - before, 1)
          })
      )
    )
  )

  it.live.each(operations.filter(([operation]) => operation !== "chunk"))(
    "is retried once for a rejected token (401): %s",
    ([operation, run]) =>
      withOld((server, storage) =>
        Effect.gen(function* () {
          const refuse = (times: number) =>
            server.faults.add({ operation, fault: { kind: "status", status: 401 }, times })
          const before = server.count(operation)
          refuse(2)
          assert.propertyVal(yield* Effect.flip(run(storage)), "_tag", "StorageRefused")
          assert.strictEqual(server.count(operation) - before, 2)
          refuse(1)
          yield* run(storage)
        })
      )
  )

  it.live("includes the limit of one write a second", () =>
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
