/** How an import finds what is indexed already. */
import { assert, layer } from "@effect/vitest"
import { Effect, Layer, Option, References } from "effect"
import { SqlClient } from "effect/sql"
import { type ImportedChunk, ImportRows } from "../../../src/Recording/Catalog/ImportRows.ts"
import { Protection } from "../../../src/Encryption.ts"
import { ProtectionConfig } from "../../../src/Encryption/ProtectionConfig.ts"
import * as Postgres from "../../support/Postgres.ts"
import { recordingConfig } from "../support/TestNode.ts"

const world = ImportRows.layer.pipe(
  Layer.provideMerge(Postgres.layer),
  Layer.provide(Protection.layer),
  Layer.provide([
    Layer.succeed(ProtectionConfig, { keys: 10, level: "standard", masterSecrets: Option.none() }),
    recordingConfig(),
    Layer.succeed(References.MinimumLogLevel, "None")
  ])
)

const imported = (index: number): ImportedChunk => ({
  conversation: "c",
  key: `chunks/u/c/${index * 60}.000.bin`,
  start: index * 60,
  samples: 8_000,
  sampleRate: 8_000,
  codec: "pcm16",
  bytes: 16_000,
  crc32c: 1,
  peaks: undefined
})

layer(world, { excludeTestServices: true })("imported rows", (it) => {
  it.effect("are found by reading no others of the conversation", () =>
    Effect.gen(function* () {
      const [rows, sql] = [yield* ImportRows, yield* SqlClient.SqlClient]
      const count = 500
      const all = Array.from({ length: count }, (_, index) => imported(index))
      assert.strictEqual((yield* rows.insert("u", all, 0)).added, count)
      yield* sql`analyze chunks`
      const wanted = [imported(3), { ...imported(400), start: 400 * 60 + 0.4 }, imported(count)]
      const { known, read } = yield* sql.withTransaction(
        Effect.gen(function* () {
          const known = yield* rows.known("u", wanted)
          const [read] = yield* sql<{ rows: number }>`
            select (seq_tup_read + idx_tup_fetch)::int as rows
            from pg_stat_xact_user_tables where relname = 'chunks'`
          return { known, read: read?.rows }
        })
      )
      assert.deepStrictEqual([...known.keys()], [imported(3).key, imported(400).key])
      assert.strictEqual(read, 2)
      assert.strictEqual((yield* rows.insert("u", [imported(3), imported(count)], 0)).added, 1)
    })
  )

  it.effect("contain nothing of a conversation that was purged after the objects were listed", () =>
    Effect.gen(function* () {
      const [rows, sql] = [yield* ImportRows, yield* SqlClient.SqlClient]
      const before = yield* rows.knownAt
      yield* sql`
        insert into purges (id, uid, conversation_id, started_at, finished_at)
        values (gen_random_uuid(), 'purged', 'c', clock_timestamp(), clock_timestamp() + interval '1 second')`
      const other = { ...imported(1), conversation: "other" }
      assert.deepStrictEqual(yield* rows.insert("purged", [imported(0), other], before), {
        added: 1,
        purged: [imported(0).key]
      })
      assert.deepStrictEqual(yield* rows.insert("purged", [imported(0)], before + 2_000), { added: 1, purged: [] })
    })
  )
})
