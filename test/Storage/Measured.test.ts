/** The metrics of every store's operations. */
import { assert, it } from "@effect/vitest"
import { Effect, Layer, Metric, Stream } from "effect"
import * as fs from "node:fs"
import { join } from "node:path"
import { Storage } from "../../src/Storage.ts"
import * as MemoryStorage from "../../src/Storage/MemoryStorage.ts"
import * as StorageMetrics from "../../src/Storage/StorageMetrics.ts"
import { layerFor, noise, startServer } from "./support/TestGcs.ts"
import { diskStorage, layer as disk } from "./support/TestDisk.ts"
import { temporaryDirectory } from "../support/TemporaryDirectory.ts"

/** With a metric registry of its own. */
const alone = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.suspend(() => Effect.provideService(effect, Metric.MetricRegistry, new Map()))

const gcs = Layer.unwrap(Effect.map(startServer(), ({ url }) => layerFor(url)))

const body = noise(300_000)
const object = { key: "a", body, contentType: "a/b", metadata: {} }

const count = (metric: Metric.Metric<number, Metric.CounterState<number>>) =>
  Effect.map(Metric.value(metric), (state) => state.count)

const timed = (operation: string, outcome: string) =>
  Effect.map(
    Metric.value(Metric.withAttributes(StorageMetrics.duration, { operation, outcome })),
    (state) => state.count
  )

it.live.each([
  ["memory", MemoryStorage.layer],
  ["disk", disk],
  ["gcs", gcs]
] as const)("measures the duration of operations by outcome, and counts bytes: %s", ([, layer]) =>
  Effect.gen(function* () {
    const storage = yield* Storage
    yield* storage.put(object)
    yield* Effect.flip(storage.put({ ...object, body: noise(5) }))
    yield* Stream.runDrain(storage.get("a"))
    yield* Stream.runDrain(storage.get("a", { start: 10, end: 30 }))
    yield* Effect.flip(Stream.runDrain(storage.get("none")))
    yield* Effect.flip(storage.head("none"))
    yield* Effect.flip(storage.list("no prefix"))
    yield* storage.compose({ key: "b", contentType: "a/b", metadata: {} }, ["a", "a"])
    yield* storage.removeMany(["a", "b"])
    assert.strictEqual(yield* count(StorageMetrics.writtenBytes), body.length)
    assert.strictEqual(yield* count(StorageMetrics.readBytes), body.length + 20)
    for (const [operation, outcome, times] of [
      ["put", "ok", 1],
      ["put", "conflict", 1],
      ["get", "ok", 2],
      ["get", "missing", 1],
      ["head", "missing", 1],
      ["list", "refused", 1],
      ["compose", "ok", 1],
      ["removeMany", "ok", 1],
      ["remove", "ok", 0]
    ] as const) {
      assert.strictEqual(yield* timed(operation, outcome), times, `${operation} ${outcome}`)
    }
    assert.strictEqual(yield* count(StorageMetrics.damaged), 0)
  }).pipe(Effect.provide(Layer.fresh(layer)), Effect.scoped, alone)
)

it.live("counts retried requests and damaged reads", () =>
  Effect.gen(function* () {
    const server = yield* startServer()
    yield* Storage.use((storage) =>
      Effect.gen(function* () {
        server.faults.add({ operation: "multipart", fault: { kind: "status", status: 503 }, times: 2 })
        yield* storage.put(object)
        server.faults.add({ operation: "media", fault: { kind: "resetDownload", after: 5 } })
        yield* Stream.runDrain(storage.get("a"))
        assert.strictEqual(yield* count(StorageMetrics.retries), 3)
        server.faults.add({ operation: "media", fault: { kind: "corruptDownload" } })
        yield* Effect.flip(Stream.runDrain(storage.get("a")))
        assert.strictEqual(yield* count(StorageMetrics.damaged), 1)
        assert.strictEqual(yield* timed("get", "damaged"), 1)
      })
    ).pipe(Effect.provide(layerFor(server.url)))
  }).pipe(Effect.scoped, alone)
)

it.live("counts damaged files", () =>
  Effect.gen(function* () {
    const dataDir = yield* temporaryDirectory
    const file = join(dataDir, "objects/a=")
    yield* Storage.use((storage) =>
      Effect.gen(function* () {
        yield* storage.put(object)
        const bytes = fs.readFileSync(file)
        bytes[5] = (bytes[5] ?? 0) ^ 1
        fs.writeFileSync(file, bytes)
        yield* Effect.flip(Stream.runDrain(storage.get("a")))
        assert.strictEqual(yield* count(StorageMetrics.damaged), 1)
        fs.writeFileSync(file, "scrawled over")
        yield* Effect.flip(storage.head("a"))
        assert.strictEqual(yield* count(StorageMetrics.damaged), 2)
      })
    ).pipe(Effect.provide(diskStorage(dataDir)))
  }).pipe(Effect.scoped, alone)
)

it.live("counts a read that is stopped early as a success with the bytes it returned", () =>
  Effect.gen(function* () {
    const storage = yield* Storage
    yield* storage.put(object)
    yield* Stream.runDrain(Stream.take(storage.get("a"), 1))
    assert.strictEqual(yield* timed("get", "ok"), 1)
    assert.strictEqual(yield* count(StorageMetrics.readBytes), 65_536)
  }).pipe(Effect.provide(Layer.fresh(disk)), Effect.scoped, alone)
)
