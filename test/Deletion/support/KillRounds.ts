/** Kills deleting nodes at random instants while objects are stored again under their keys, and reports what remains. */
import { Duration, Effect, Exit, Fiber, Schedule, Scope } from "effect"
import { SqlClient } from "effect/sql"
import { Deletion } from "../../../src/Deletion.ts"
import { random } from "../../support/Crash.ts"
import { left, makeObjects, type Node, putObjects, startNode } from "./Nodes.ts"

export interface KillReport {
  readonly kills: number
  readonly objects: number
  readonly storedAgain: number
  /** Objects that were to be deleted and are not. */
  readonly kept: number
  /** Objects of a new generation that are missing. */
  readonly lost: number
  /** From the last kill until everything was deleted. */
  readonly recoverySeconds: number
}

/** Broken promises of a report. `recovery`: the longest one allowed, in seconds. */
export const complaints = (report: KillReport, recovery: number): ReadonlyArray<string> =>
  [
    report.kept === 0 ? "" : `${report.kept} objects were not deleted`,
    report.lost === 0 ? "" : `${report.lost} objects that were stored again were deleted`,
    report.storedAgain > 0 ? "" : "no object was stored again",
    report.recoverySeconds <= recovery ? "" : `the work of the last killed node took ${report.recoverySeconds} s`
  ].filter((complaint) => complaint !== "")

/** Stores every third removed object again, once. */
const storeAgain = Effect.flatMap(
  SqlClient.SqlClient,
  (sql) => sql`
    INSERT INTO objects SELECT key, '2' FROM removals
    WHERE generation = '1' AND right(key, 1) IN ('0', '3', '6') ON CONFLICT DO NOTHING`
)

/** Tombstones become due in the first seconds; nodes die one after the other meanwhile. */
export const killRounds = (options: { readonly kills: number; readonly objects: number; readonly seed: number }) =>
  Effect.gen(function* () {
    const { kills, objects: count, seed } = options
    const sql = yield* SqlClient.SqlClient
    const deletion = yield* Deletion
    const next = random(seed)
    yield* makeObjects
    const objects = yield* putObjects(count)
    const start: Effect.Effect<
      { node: Node; scope: Scope.Closeable },
      never,
      Effect.Services<ReturnType<typeof startNode>>
    > = Effect.gen(function* () {
      const scope = yield* Scope.fork(yield* Scope.Scope)
      return { node: yield* Scope.provide(startNode({ pause: 3 }), scope), scope }
    })
    const nodes = yield* Effect.all([start, start], { concurrency: 2 })
    const restoring = yield* Effect.forkScoped(Effect.repeat(storeAgain, Schedule.spaced("50 millis")))
    const share = Math.ceil(count / (kills + 1))
    for (let kill = 0; kill <= kills; kill++) {
      for (const object of objects.slice(kill * share, (kill + 1) * share))
        if (next() < 0.02) yield* deletion.schedule([object], { after: Duration.millis(next() * 400) })
        else yield* deletion.schedule([object], { after: Duration.zero })
      yield* Effect.sleep(Duration.millis(next() * 300))
      if (kill === kills) break
      const index = next() < 0.5 ? 0 : 1
      yield* Scope.close((nodes[index] ?? nodes[0]).scope, Exit.void)
      // The last one stays dead: the other does its work.
      if (kill + 1 < kills) nodes[index] = yield* start
    }
    const began = performance.now()
    yield* Effect.repeat(left, { until: (rows) => rows === 0, schedule: Schedule.spaced("50 millis") })
    const recoverySeconds = (performance.now() - began) / 1_000
    yield* Fiber.interrupt(restoring)
    yield* storeAgain
    const [row] = yield* sql<Omit<KillReport, "kills" | "objects" | "recoverySeconds">>`
      SELECT (SELECT count(*)::int FROM objects WHERE generation = '1') AS kept,
             (SELECT count(*)::int FROM objects WHERE generation = '2') AS "storedAgain",
             (SELECT count(*)::int FROM removals WHERE generation = '2') AS lost`
    const report: KillReport = {
      ...(row ?? { kept: NaN, lost: NaN, storedAgain: NaN }),
      kills,
      objects: count,
      recoverySeconds
    }
    return report
  })
