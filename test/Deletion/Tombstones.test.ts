/** Tombstones in the database, and the ones in memory that other tests use. */
import { assert, layer } from "@effect/vitest"
import { Deferred, Duration, Effect, Exit, Fiber, Layer, Schedule } from "effect"
import { SqlClient } from "effect/sql"
import { TestClock } from "effect/testing"
import { Db } from "../../src/Db.ts"
import { maxCounted } from "../../src/Deletion/Backlog.ts"
import { Tombstones } from "../../src/Deletion/Tombstones.ts"
import * as Postgres from "../support/Postgres.ts"
import * as MemoryTombstones from "./support/MemoryTombstones.ts"
import { suite } from "./TombstonesTest.ts"

const inDatabase = Tombstones.layer.pipe(Layer.provideMerge(Postgres.layer))

suite(
  "Tombstones in PostgreSQL",
  Layer.fresh(inDatabase),
  Effect.flatMap(
    SqlClient.SqlClient,
    (sql) => sql`UPDATE tombstones SET due_at = now() - interval '1 millisecond' WHERE due_at IS NOT NULL`
  )
)
suite(
  "Tombstones in memory",
  MemoryTombstones.layer.pipe(Layer.provideMerge(TestClock.layer())),
  TestClock.adjust("1 hour")
)

const object = (key: string) => ({ key, generation: "1", uid: "u" })

layer(Layer.fresh(inDatabase), { excludeTestServices: true })("Tombstones of a transaction", (it) => {
  it.effect("exist when it commits, and not before or when it rolls back", () =>
    Effect.gen(function* () {
      const db = yield* Db
      const tombstones = yield* Tombstones
      const committed: Array<string> = []
      const [scheduled, proceed] = yield* Effect.all([Deferred.make<void>(), Deferred.make<void>()])
      const inTransaction = (key: string, end: Effect.Effect<void, string>) =>
        db.transaction("Test.both", () =>
          tombstones
            .schedule(
              [object(key)],
              Duration.zero,
              Effect.sync(() => void committed.push(key))
            )
            .pipe(Effect.andThen(Deferred.done(scheduled, Exit.void)), Effect.andThen(end))
        )
      yield* Effect.flip(inTransaction("undone", Effect.fail("no")))
      const open = yield* Effect.forkChild(inTransaction("done", Deferred.await(proceed)))
      yield* Deferred.await(scheduled)
      assert.deepStrictEqual((yield* tombstones.claim(10)).rows, [])
      assert.deepStrictEqual(committed, [])
      yield* Deferred.done(proceed, Exit.void)
      yield* Fiber.join(open)
      assert.deepStrictEqual(committed, ["done"])
      const { rows } = yield* tombstones.claim(10)
      assert.deepStrictEqual(
        rows.map(({ columns }) => columns.key),
        ["done"]
      )
    })
  )
})

layer(Layer.fresh(inDatabase), { excludeTestServices: true })("A backlog", (it) => {
  it.effect("is counted to a bound, and estimated above it", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const tombstones = yield* Tombstones
      const add = (count: number, due: string) => sql`
        INSERT INTO tombstones (key, generation, uid, due_at)
        SELECT ${due} || n, '1', 'u' || n % 100, now() + ${due}::interval FROM generate_series(1, ${count}::int) n`
      yield* add(3, "-10 seconds")
      yield* add(7, "1 hour")
      const few = yield* tombstones.backlog
      assert.deepStrictEqual([few.pending, few.due, Math.floor(Duration.toSeconds(few.oldestDue))], [10, 3, 10])
      yield* add(150_000, "2 hours")
      const many = yield* Effect.repeat(tombstones.backlog, {
        until: ({ pending }) => pending !== maxCounted,
        schedule: Schedule.spaced("100 millis")
      })
      assert.isAbove(many.pending, 140_000)
      assert.isBelow(many.pending, 160_000)
      yield* add(maxCounted, "-5 seconds")
      assert.strictEqual((yield* tombstones.backlog).due, maxCounted)
    })
  )
})
