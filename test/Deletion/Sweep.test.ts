/** Sweeps on a real database, with a store that fails and hangs. */
import { assert, layer } from "@effect/vitest"
import { Duration, Effect, Layer, Logger, Schedule } from "effect"
import { SqlClient } from "effect/sql"
import { StorageBulkheads } from "../../src/Bulkhead.ts"
import { BulkheadConfig } from "../../src/Bulkhead/BulkheadConfig.ts"
import { maxAttempts } from "../../src/Claims.ts"
import { anyGeneration, Deletion } from "../../src/Deletion.ts"
import { Storage, StorageRefused } from "../../src/Storage.ts"
import * as MemoryStorage from "../../src/Storage/MemoryStorage.ts"
import * as Postgres from "../support/Postgres.ts"

const removed: Array<string> = []
const generations: Array<string | undefined> = []
const storage = Layer.succeed(
  Storage,
  Storage.of({
    ...MemoryStorage.make(0),
    remove: (key, options) => {
      generations.push(options?.generation)
      if (key.startsWith("hanging")) return Effect.never
      if (key === "poison")
        return Effect.fail(new StorageRefused({ operation: "remove", bucket: "b", key, reason: "no" }))
      return Effect.sync(() => void removed.push(key))
    }
  })
)

const deletion = Deletion.layer.pipe(
  Layer.provide([storage, StorageBulkheads.layer.pipe(Layer.provide(BulkheadConfig.layer))]),
  Layer.provideMerge(Layer.fresh(Postgres.layer)),
  Layer.provideMerge(Logger.layer([]))
)

const schedule = (...keys: ReadonlyArray<string>) =>
  Effect.flatMap(Deletion, (deletion) =>
    deletion.schedule(
      keys.map((key) => ({ key, generation: "1", uid: "u" })),
      { after: Duration.zero }
    )
  )

layer(deletion, { excludeTestServices: true })("A sweep", (it) => {
  it.effect("deletes what is under a key, whatever it is, only if its tombstone has no generation", () =>
    Effect.gen(function* () {
      const { idle, schedule: scheduleAll, sweep } = yield* Deletion
      yield* schedule("known")
      yield* scheduleAll([{ key: "unknown", generation: anyGeneration, uid: "u" }], { after: Duration.zero })
      yield* sweep
      yield* idle
      assert.deepStrictEqual(new Set(removed), new Set(["known", "unknown"]))
      assert.deepStrictEqual(new Set(generations), new Set(["1", undefined]))
    })
  )

  it.effect("ends an object that the store rejects each time as a dead letter, and deletes the others", () =>
    Effect.gen(function* () {
      const { idle, list, sweep } = yield* Deletion
      const sql = yield* SqlClient.SqlClient
      for (let attempt = 1; attempt <= maxAttempts; attempt++) {
        yield* schedule(`other${attempt}`)
        if (attempt === 1) yield* schedule("poison")
        assert.strictEqual(yield* sweep, 2)
        yield* idle
        assert.strictEqual(removed.at(-1), `other${attempt}`)
        yield* sql`UPDATE tombstones SET due_at = now() WHERE due_at IS NOT NULL`
      }
      assert.strictEqual(yield* sweep, 0)
      const { tombstones } = yield* list({ state: "dead", limit: 10 })
      assert.deepStrictEqual(
        tombstones.map(({ attempts, key, lastError }) => [key, attempts, lastError]),
        [["poison", maxAttempts, "can't remove b/poison: no"]]
      )
    })
  )

  it.effect("deletes everything else while the store hangs on some objects, and keeps the lease of those", () =>
    Effect.gen(function* () {
      const { sweep } = yield* Deletion
      const sql = yield* SqlClient.SqlClient
      const others = Array.from({ length: 1_200 }, (_, n) => `o${n}`)
      yield* schedule(...Array.from({ length: 7 }, (_, n) => `hanging${n}`), ...others)
      removed.length = 0
      yield* Effect.repeat(sweep, { until: (size) => size === 0 })
      const open = sql<{ key: string; lease: number }>`
        SELECT key, extract(epoch FROM due_at - now())::float8 AS lease FROM tombstones WHERE token IS NOT NULL ORDER BY key`
      const hanging = yield* Effect.repeat(open, {
        until: (rows) => rows.length === 7,
        schedule: Schedule.spaced("20 millis")
      })
      assert.deepStrictEqual(removed.toSorted(), others.toSorted())
      const before = Math.min(...hanging.map(({ lease }) => lease))
      yield* Effect.repeat(open, {
        until: (rows) => rows.every(({ lease }) => lease > before) || rows.length < 7,
        schedule: Schedule.spaced("50 millis")
      })
      assert.strictEqual((yield* open).length, 7)
    })
  )
})
