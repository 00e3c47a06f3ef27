/** The schema is migrated once, whichever node starts first. */
import { assert, layer } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { Migrator, SqlClient } from "effect/sql"
import { Timeline } from "../../src/Audio.ts"
import { DbConfig } from "../../src/Db/DbConfig.ts"
import { DbServer } from "../../src/Db/DbServer.ts"
import * as Migrations from "../../src/Db/Migrations.ts"
import { recordings } from "../../src/Db/Migrations/0001_recordings.ts"
import { peaks } from "../../src/Db/Migrations/0002_peaks.ts"
import { timelines } from "../../src/Db/Migrations/0003_timelines.ts"
import { arrivals, union } from "../Recording/support/Arrivals.ts"
import { checkIndex } from "../Recording/support/IndexCheck.ts"
import * as Postgres from "../support/Postgres.ts"
import { seed } from "../support/Seed.ts"
import { dbOn } from "./support/Fixture.ts"

const empty = Layer.fresh(Postgres.layerServerEmpty)
const all = Object.keys(Migrations.migrations).map((key) => {
  const [id = "", ...name] = key.split("_")
  return [Number(id), name.join("_")] as const
})

layer(DbConfig.layer, { excludeTestServices: true })("Migrations", (it) => {
  it.effect("create the schema in an empty database, once", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* Migrations.run, all)
      assert.deepStrictEqual(yield* Migrations.run, [])
    }).pipe(Effect.provide(empty))
  )

  it.effect("run on one of several nodes that start at once, while the others wait", () =>
    Effect.gen(function* () {
      const ran = yield* Effect.all(
        Array.from({ length: 6 }, () => Migrations.run),
        { concurrency: "unbounded" }
      )
      assert.deepStrictEqual(
        ran.filter((list) => list.length > 0),
        [all]
      )
      const { sql } = yield* dbOn(yield* DbServer)
      assert.deepStrictEqual(yield* sql`SELECT count(*)::int AS n FROM spillway_migrations`, [{ n: all.length }])
    }).pipe(Effect.provide(empty))
  )
})

layer(DbConfig.layer, { excludeTestServices: true })("A database of the release before counts", (it) => {
  it.effect("is counted by the migration", () =>
    Effect.gen(function* () {
      const { sql } = yield* dbOn(yield* DbServer)
      yield* Effect.provideService(Effect.andThen(recordings, peaks), SqlClient.SqlClient, sql)
      yield* sql`INSERT INTO conversations (uid, id) VALUES ('u', 'a'), ('u', 'b'), ('v', 'a')`
      yield* sql`
        INSERT INTO chunks (uid, conversation_id, start_at, id, samples, sample_rate, codec, lost)
        SELECT 'u', 'a', n, gen_random_uuid(), 10, 16000, 'pcm16', true FROM generate_series(1, 3) n`
      yield* Effect.provideService(timelines, SqlClient.SqlClient, sql)
      const counts = () => sql`SELECT chunks::int AS n FROM conversations ORDER BY uid, id`
      assert.deepStrictEqual(yield* counts(), [{ n: 3 }, { n: 0 }, { n: 0 }])
      yield* sql`DELETE FROM chunks WHERE start_at < 3`
      assert.deepStrictEqual(yield* counts(), [{ n: 1 }, { n: 0 }, { n: 0 }])
    }).pipe(Effect.provide(empty))
  )
})

layer(DbConfig.layer, { excludeTestServices: true })("A database of the release before the index", (it) => {
  it.effect("gets the same index as a new database, with conversations of several pages, lost chunks and none", () =>
    Effect.gen(function* () {
      const server = yield* DbServer
      const { sql } = yield* dbOn(server)
      const before = Object.fromEntries(Object.entries(Migrations.migrations).filter(([name]) => name < "0008"))
      yield* Effect.provideService(
        Migrator.make({})({ loader: Migrator.fromRecord(before), table: "spillway_migrations" }),
        SqlClient.SqlClient,
        sql
      )
      const recorded = [1, 2, 3].map((id) => ({
        conversation: `c${id}`,
        chunks: union(arrivals(seed + id, id === 1 ? 1_100 : 40, Timeline.fileGapSeconds))
      }))
      yield* sql`INSERT INTO conversations (uid, id) VALUES ('u', 'empty')`
      for (const { chunks, conversation } of recorded) {
        yield* sql`INSERT INTO conversations (uid, id) VALUES ('u', ${conversation})`
        yield* sql`
          INSERT INTO chunks (uid, conversation_id, start_at, id, samples, sample_rate, codec, object_key, crc32c, lost)
          SELECT 'u', ${conversation}, w.start, w.id, w.samples, w."sampleRate", w.codec, w.key,
                 (w.object ->> 'crc32c')::bigint, w.state = 'lost'
          FROM json_to_recordset(${JSON.stringify(chunks)}::json) AS w(
            start float8, id uuid, samples bigint, "sampleRate" int, codec text, key text, object json, state text
          )`
      }
      assert.deepStrictEqual(
        yield* Migrations.run,
        all.filter(([id]) => id >= 8)
      )
      yield* Effect.gen(function* () {
        for (const { chunks, conversation } of recorded)
          yield* checkIndex(conversation, chunks, Timeline.fileGapSeconds, conversation)
      }).pipe(Effect.provideService(SqlClient.SqlClient, sql))
      assert.deepStrictEqual(yield* sql`SELECT files::int AS n FROM conversations WHERE id = 'empty'`, [{ n: 0 }])
    }).pipe(Effect.provide(empty))
  )
})

layer(DbConfig.layer, { excludeTestServices: true })("A database of the release before retention", (it) => {
  it.effect("has the days on which its conversations ended", () =>
    Effect.gen(function* () {
      const { sql } = yield* dbOn(yield* DbServer)
      const before = Object.fromEntries(Object.entries(Migrations.migrations).filter(([name]) => name < "0013"))
      yield* Effect.provideService(
        Migrator.make({})({ loader: Migrator.fromRecord(before), table: "spillway_migrations" }),
        SqlClient.SqlClient,
        sql
      )
      // Days ago: when the row was created, and when the audio ends by its timestamps.
      for (const [id, created, ended] of [
        ["silent", 90, undefined],
        ["ended", 90, 50],
        ["wrong clock", 90, 9_000],
        ["ahead", 90, -300]
      ] as const) {
        yield* sql`
          INSERT INTO conversations (uid, id, created_at) VALUES ('u', ${id}, now() - ${created}::int * interval '1 day')`
        if (ended !== undefined)
          yield* sql`
            INSERT INTO audio_files
              (uid, conversation_id, start_at, first_id, id, sample_rate, codec, end_at, captured, lost, chunks, last_start,
               last_id)
            SELECT 'u', ${id}, start, i, i, 8000, 'pcm16', (start * 8000)::bigint, 0, 0, 1, start, i
            FROM (SELECT extract(epoch FROM now() - ${ended}::int * interval '1 day')::float8 AS start,
                         gen_random_uuid() AS i) AS f`
      }
      yield* Migrations.run
      const rows = yield* sql`
        SELECT id, (now() AT TIME ZONE 'UTC')::date - ended_on AS days FROM conversations ORDER BY created_at, seq`
      assert.deepStrictEqual(rows, [
        { id: "silent", days: 90 },
        { id: "ended", days: 50 },
        { id: "wrong clock", days: 90 },
        { id: "ahead", days: 0 }
      ])
    }).pipe(Effect.provide(empty))
  )
})

layer(Postgres.layer, { excludeTestServices: true })("The schema", (it) => {
  it.effect("finds a user's latest conversations without reading other users' rows", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      yield* sql`
        INSERT INTO conversations (uid, id, chunks)
        SELECT 'u' || (n % 100), 'c' || n, n % 2 FROM generate_series(1, 20000) AS n`
      yield* sql`ANALYZE conversations`
      const plan = yield* sql<{ "QUERY PLAN": string }>`
        EXPLAIN SELECT id FROM conversations WHERE uid = 'u7' AND has_audio AND (created_at, seq) < (now(), 15000)
        ORDER BY created_at DESC, seq DESC LIMIT 50`
      const text = plan.map((row) => row["QUERY PLAN"]).join("\n")
      assert.match(text, /Index Scan Backward using conversations_listed/)
      assert.notMatch(text, /Sort|Seq Scan/)
    })
  )

  it.effect("accepts a chunk only with its object or as lost", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      yield* sql`INSERT INTO conversations (uid, id) VALUES ('u', 'c')`
      const insert = (lost: boolean) => sql`
        INSERT INTO chunks (uid, conversation_id, start_at, id, samples, sample_rate, codec, lost, begins, at, skip, heard,
                            lost_samples, heard_end, end_at)
        VALUES ('u', 'c', 1.5, gen_random_uuid(), 10, 16000, 'pcm16', ${lost}, true, 24000, 0, 0, 10, 24000, 24010)`
      yield* insert(true)
      assert.strictEqual((yield* Effect.flip(insert(false))).reason._tag, "ConstraintError")
    })
  )
})
