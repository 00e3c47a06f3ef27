/** `src/Deletion`: a node that stands still, as a suspended machine does, and continues. */
import { assert, layer } from "@effect/vitest"
import { Duration, Effect, Schedule } from "effect"
import { SqlClient } from "effect/sql"
import { Deletion } from "../../src/Deletion.ts"
import * as Sweep from "../../src/Deletion/Sweep.ts"
import * as DeletionOnly from "./support/DeletionOnly.ts"
import { makeObjects, putObjects, startNode } from "./support/Nodes.ts"

const until = (look: Effect.Effect<ReadonlyArray<{ readonly n: number }>, unknown>, wanted: (n: number) => boolean) =>
  Effect.repeat(look, { until: ([row]) => wanted(row?.n ?? 0), schedule: Schedule.spaced("20 millis") })

layer(DeletionOnly.layer, { excludeTestServices: true })("A node that stood still past its lease", (it) => {
  it.effect("touches nothing that another node has claimed meanwhile", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const deletion = yield* Deletion
      yield* makeObjects
      const objects = yield* putObjects(100)
      const stalled = yield* startNode({ pause: 100 })
      yield* deletion.schedule(objects, { after: Duration.zero })
      const by = (pid: number) => sql<{ n: number }>`SELECT count(*)::int AS n FROM removals WHERE pid = ${pid}`
      yield* until(by(stalled.pid), (n) => n > 10)
      yield* stalled.signal("SIGSTOP")
      const [before] = yield* by(stalled.pid)
      const other = yield* startNode({ pause: 100 })
      yield* until(by(other.pid), (n) => n > 0)
      yield* other.signal("SIGSTOP")
      const statements = sql<{ n: number }>`
        SELECT count(*)::int AS n FROM pg_stat_activity
        WHERE datname = current_database() AND state = 'active' AND pid <> pg_backend_pid()`
      yield* until(statements, (n) => n === 0)
      const claimed = sql`SELECT id::text, token::text FROM tombstones WHERE key <> 'last' ORDER BY id`
      const held = yield* claimed
      assert.isAbove(held.length, 60)

      yield* stalled.signal("SIGCONT")
      yield* sql`INSERT INTO objects VALUES ('last', '1')`
      yield* deletion.schedule([{ key: "last", generation: "1", uid: "u" }], { after: Duration.zero })
      yield* until(sql`SELECT count(*)::int AS n FROM tombstones WHERE key = 'last'`, (n) => n === 0)
      const [after] = yield* by(stalled.pid)
      assert.isAtMost(
        (after?.n ?? NaN) - (before?.n ?? NaN),
        Sweep.concurrency + 1,
        "deletions that had begun, and the last one"
      )
      assert.deepStrictEqual(yield* claimed, held)

      yield* stalled.kill
      yield* other.signal("SIGCONT")
      yield* until(sql`SELECT count(*)::int AS n FROM tombstones`, (n) => n === 0)
      const removals = yield* sql`SELECT count(*)::int AS n, count(DISTINCT key)::int AS keys FROM removals`
      assert.deepStrictEqual(removals, [{ n: 101, keys: 101 }])
    })
  )
})
