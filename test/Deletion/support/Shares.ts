/** Two nodes share many tombstones, and log what they delete. */
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { Effect, FileSystem, Schedule } from "effect"
import { SqlClient } from "effect/sql"
import { left, startNode } from "./Nodes.ts"

export interface ShareReport {
  readonly objects: number
  /** Deletions by each node. */
  readonly shares: ReadonlyArray<number>
  /** Objects that were deleted once. */
  readonly once: number
  readonly seconds: number
}

export const share = (count: number) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const fs = yield* FileSystem.FileSystem
    const directory = yield* fs.makeTempDirectoryScoped({ prefix: "spillway-shares-" })
    const logs = ["a", "b"].map((name) => join(directory, name))
    yield* Effect.all(
      logs.map((log) => startNode({ log })),
      { concurrency: 2 }
    )
    // Due later than both nodes have found them, which takes up to 5 s: otherwise one could delete all before.
    yield* sql`
      INSERT INTO tombstones (key, generation, uid, due_at)
      SELECT 'chunks/u' || n % 100 || '/c/' || n || '.batch.bin', '1', 'u' || n % 100, now() + interval '6 seconds'
      FROM generate_series(1, ${count}::int) n`
    const began = performance.now()
    yield* Effect.repeat(left, { until: (rows) => rows === 0, schedule: Schedule.spaced("50 millis") })
    const seconds = (performance.now() - began) / 1_000
    const lines = logs.map((log) => readFileSync(log, "utf8").trimEnd().split("\n"))
    const all = lines.flat()
    const report: ShareReport = {
      objects: count,
      shares: lines.map(({ length }) => length),
      once: all.length === count ? new Set(all).size : NaN,
      seconds
    }
    return report
  })
