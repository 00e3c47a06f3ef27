/** The index in the database is equal to the layout of all chunks, whatever the order in which they come. */
import { assert, layer } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { SqlClient } from "effect/sql"
import { ChunkIndex } from "../../../src/Recording/Catalog/ChunkIndex.ts"
import type { NewChunk } from "../../../src/Recording/Catalog/ChunkIndex.ts"
import * as Postgres from "../../support/Postgres.ts"
import { seed } from "../../support/Seed.ts"
import { arrivals, gapSeconds, random, union, uuid } from "../support/Arrivals.ts"
import { checkIndex } from "../support/IndexCheck.ts"

const world = ChunkIndex.layerWith({ gapSeconds, firstPage: 2, nextPage: 3, most: Infinity }).pipe(
  Layer.provideMerge(Postgres.layer)
)

const runs = 10

layer(world, { excludeTestServices: true })("the index of a conversation", (it) => {
  it.effect("equals the layout of all arrived chunks after every arrival", () =>
    Effect.gen(function* () {
      const index = yield* ChunkIndex
      for (let run = 0; run < runs; run++) {
        const count = 3 + Math.floor(random(seed + run)() * 40)
        const batches = arrivals(seed + run, count)
        const conversation = `c${run}`
        for (const [at, batch] of batches.entries()) {
          const before = union(batches.slice(0, at))
          const all = union(batches.slice(0, at + 1))
          const added = yield* index.insert({ uid: "u", conversation }, batch)
          const message = `seed ${seed + run}, ${count} chunks, batch ${at}`
          assert.strictEqual(added, all.length - before.length, message)
          yield* checkIndex(conversation, all, gapSeconds, message)
        }
      }
    })
  )

  it.effect("stays correct under concurrent writers", () =>
    Effect.gen(function* () {
      const index = yield* ChunkIndex
      const batches = arrivals(seed + 7, 60)
      yield* Effect.forEach(batches, (batch) => index.insert({ uid: "u", conversation: "together" }, batch), {
        concurrency: 8
      })
      yield* checkIndex("together", union(batches), gapSeconds, "together")
    })
  )

  it.effect("changes a file's revision when its bytes change, but not when it grows", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const index = yield* ChunkIndex
      const name = { uid: "u", conversation: "revision" }
      const second = (start: number, state: "stored" | "lost" = "stored"): NewChunk => ({
        id: uuid(Math.round(start * 1000)),
        start,
        samples: 80,
        sampleRate: 8000,
        codec: "pcm16",
        state,
        key: String(start),
        object: state === "lost" ? undefined : { bytes: 160, crc32c: 1 }
      })
      const revision = Effect.map(
        sql<{ revision: number }>`
          select revision::float8 as revision from audio_files where conversation_id = 'revision' order by start_at`,
        (rows) => rows.map((row) => row.revision)
      )
      yield* index.insert(name, [second(1)])
      const [first] = yield* revision
      yield* index.insert(name, [second(1.01)])
      yield* index.insert(name, [second(1.05)])
      yield* index.insert(name, [second(1.06, "lost")])
      assert.deepStrictEqual(yield* revision, [first], "it grew")
      yield* index.insert(name, [second(9)])
      assert.strictEqual((yield* revision)[0], first, "another file")
      yield* index.insert(name, [second(1.03)])
      const [filled, other] = yield* revision
      assert.notStrictEqual(filled, first, "silence became audio")
      yield* index.insert(name, [{ ...second(1.06), object: { bytes: 160, crc32c: 1 } }])
      assert.notStrictEqual((yield* revision)[0], filled, "what was lost is heard")
      assert.strictEqual((yield* revision)[1], other)
    })
  )
})
