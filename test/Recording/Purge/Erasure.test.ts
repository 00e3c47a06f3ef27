/** `src/Recording/Purge/Erasure.ts` on a real database, beside transactions that record. */
import { assert, layer } from "@effect/vitest"
import { Deferred, Effect, Fiber, Layer, Schedule } from "effect"
import { SqlClient } from "effect/sql"
import { Db } from "../../../src/Db.ts"
import { ConversationRows } from "../../../src/Recording/Catalog/ConversationRows.ts"
import { Erasure } from "../../../src/Recording.ts"
import * as Fence from "../../../src/Recording/Purge/Fence.ts"
import * as Postgres from "../../support/Postgres.ts"

const world = Layer.merge(Erasure.layer, ConversationRows.layer).pipe(Layer.provideMerge(Postgres.layer))

const countOf = (sql: SqlClient.SqlClient, uid: string) =>
  Effect.map(
    sql<{ readonly count: number }>`
      select (select count(*) from conversations where uid = ${uid})::int
           + (select count(*) from chunks where uid = ${uid})::int
           + (select count(*) from audio_files where uid = ${uid})::int as count`,
    ([row]) => row?.count
  )

layer(world, { excludeTestServices: true })("An erasure", (it) => {
  it.effect("waits for a transaction that creates a conversation, and then deletes it", () =>
    Effect.gen(function* () {
      const [sql, erasure] = [yield* SqlClient.SqlClient, yield* Erasure]
      const [created, gate] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
      const creation = yield* sql
        .withTransaction(
          Effect.gen(function* () {
            yield* Fence.lockCreation(sql, "ada")
            yield* sql`insert into conversations (uid, id) values ('ada', 'late')`
            yield* Deferred.succeed(created, undefined)
            yield* Deferred.await(gate)
          })
        )
        .pipe(Effect.forkChild)
      yield* Deferred.await(created)
      const waiting = yield* Effect.forkChild(erasure.awaitCreations("ada"))
      // Users don't wait for each other.
      yield* erasure.awaitCreations("eve")
      yield* sql`select from pg_locks where locktype = 'advisory' and not granted`.pipe(
        Effect.repeat({ until: (rows) => rows.length > 0, schedule: Schedule.spaced("10 millis") })
      )
      yield* Deferred.succeed(gate, undefined)
      yield* Fiber.join(creation)
      yield* Fiber.join(waiting)
      assert.strictEqual((yield* erasure.eraseBatch({ uid: "ada", conversation: undefined })).conversations, 1)
      assert.strictEqual(yield* countOf(sql, "ada"), 0)
    })
  )

  it.effect("deletes any number of rows in batches, hides them with the first one, and nothing of others", () =>
    Effect.gen(function* () {
      const [sql, erasure] = [yield* SqlClient.SqlClient, yield* Erasure]
      for (const [uid, id] of [
        ["mary", "a"],
        ["mary", "b"],
        ["bob", "a"]
      ] as const) {
        yield* sql`insert into conversations (uid, id, chunks) values (${uid}, ${id}, 1500)`
        yield* sql`
          insert into chunks (uid, conversation_id, start_at, id, samples, sample_rate, codec, lost, begins, at, skip, heard,
                              lost_samples, heard_end, end_at)
          select ${uid}, ${id}, n, gen_random_uuid(), 1, 8000, 'pcm16', true, false, n, 0, 0, 1, n, n
          from generate_series(1, 1500) n`
      }
      const target = { uid: "mary", conversation: "a" }
      const first = yield* erasure.eraseBatch(target)
      assert.deepStrictEqual([first.isDone, first.conversations], [false, 0])
      const rows = yield* sql`select id from conversations where uid = 'mary' and has_audio`
      assert.deepStrictEqual(rows, [{ id: "b" }])
      let { chunks, conversations, isDone } = first
      while (!isDone) {
        const batch = yield* erasure.eraseBatch(target)
        chunks += batch.chunks
        conversations += batch.conversations
        isDone = batch.isDone
      }
      assert.deepStrictEqual([chunks, conversations], [1500, 1])
      assert.deepStrictEqual([yield* countOf(sql, "mary"), yield* countOf(sql, "bob")], [1501, 1501])
      assert.deepStrictEqual(yield* erasure.summary({ uid: "mary", conversation: undefined }), {
        conversations: 1,
        chunks: 1500,
        capturedSeconds: 0
      })
    })
  )

  it.effect("counts each row once beside the erasure of the whole account", () =>
    Effect.gen(function* () {
      const [sql, erasure] = [yield* SqlClient.SqlClient, yield* Erasure]
      const [begun, gate] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
      yield* sql`insert into conversations (uid, id, chunks) values ('joan', 'a', 3000)`
      yield* sql`
        insert into chunks (uid, conversation_id, start_at, id, samples, sample_rate, codec, lost, begins, at, skip, heard,
                            lost_samples, heard_end, end_at)
        select 'joan', 'a', n, gen_random_uuid(), 1, 8000, 'pcm16', true, false, n, 0, 0, 1, n, n
        from generate_series(1, 3000) n`
      const batch = erasure.eraseBatch({ uid: "joan", conversation: "a" })
      // Hides the conversation, so that the next batches begin with rows of chunks.
      const first = yield* batch
      const account = yield* (yield* Db)
        .transaction("test", () =>
          Effect.tap(erasure.eraseBatch({ uid: "joan", conversation: undefined }), () =>
            Effect.andThen(Deferred.succeed(begun, undefined), Deferred.await(gate))
          )
        )
        .pipe(Effect.forkChild)
      yield* Deferred.await(begun)
      const waiting = yield* Effect.forkChild(batch)
      yield* sql`select from pg_locks where not granted`.pipe(
        Effect.repeat({ until: (rows) => rows.length > 0, schedule: Schedule.spaced("10 millis") })
      )
      yield* Deferred.succeed(gate, undefined)
      let { chunks, isDone } = yield* Fiber.join(waiting)
      chunks += first.chunks + (yield* Fiber.join(account)).chunks
      while (!isDone) {
        const next = yield* batch
        chunks += next.chunks
        isDone = next.isDone
      }
      assert.strictEqual(chunks, 3000)
    })
  )

  it.effect("leaves no row behind for a capture that enters while the purge runs", () =>
    Effect.gen(function* () {
      const [sql, rows] = [yield* SqlClient.SqlClient, yield* ConversationRows]
      yield* sql`
        insert into purges (id, uid, started_at) values ('00000000-0000-4000-8000-000000000001', 'joan', clock_timestamp())`
      yield* rows.ensure("joan", "c")
      assert.strictEqual(yield* countOf(sql, "joan"), 0)
      yield* sql`update purges set finished_at = clock_timestamp() where uid = 'joan'`
      yield* rows
        .ensure("joan", "c")
        .pipe(
          Effect.andThen(countOf(sql, "joan")),
          Effect.repeat({ until: (count) => count === 1, schedule: Schedule.spaced("1 millis") })
        )
    })
  )
})
