/**
 * `node scripts/db-faults.ts [seconds]`: writes from many fibers while PostgreSQL is killed, its backends are
 * terminated and its connections go dead, all at random. Prints a line of JSON; exit code 1 means a broken promise.
 * The tests have short forms of the same.
 */
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { NodeServices } from "@effect/platform-node"
import { Context, Duration, Effect, Layer, Random, References } from "effect"
import { DbServer } from "../src/Db/DbServer.ts"
import * as EmbeddedPostgres from "../src/Db/Postgres/EmbeddedPostgres.ts"
import * as Migrations from "../src/Db/Migrations.ts"
import { NodeConfig } from "../src/NodeConfig.ts"
import { configWith, dbOn } from "../test/Db/support/Fixture.ts"
import * as Proxy from "../test/Db/support/Proxy.ts"

const writers = 24
const limits = {
  pool: 10,
  statementTimeout: Duration.seconds(2),
  deadline: Duration.seconds(8)
}
/** The deadline of a caller, with some tolerance. Cancelling a dead connection takes longer, up to 5 s. */
const longestAllowed = Duration.toMillis(limits.deadline) + 250
const recoveryAllowed = 5000

const kinds = ["write", "writeIdempotent", "transaction", "transactionIdempotent"] as const

const between = (min: number, max: number) =>
  Effect.flatMap(Random.nextBetween(min, max), (n) => Effect.sleep(Duration.millis(n)))

const program = (dataDir: string, seconds: number) =>
  Effect.gen(function* () {
    const server = yield* DbServer
    yield* Migrations.run
    const { sql } = yield* dbOn(server, { pool: 4 })
    const { proxy, server: behind } = yield* Proxy.through(server)
    const { db } = yield* dbOn(behind, limits)
    yield* sql`CREATE TABLE promised (id int NOT NULL)`

    const confirmed = new Set<number>()
    const kills: Array<number> = []
    const recoveries: Array<number> = []
    const ends = { confirmed: 0, DbUnavailable: 0, DbTimeout: 0, DbBusy: 0 }
    const faults = { kill: 0, terminate: 0, freeze: 0 }
    let longest = 0
    let next = 0

    const write = Effect.suspend(() => {
      const id = next++
      const kind = kinds[id % kinds.length] ?? "write"
      const start = performance.now()
      return db[kind](`Faults.${kind}`, (sql) =>
        kind.endsWith("Idempotent")
          ? sql`INSERT INTO promised SELECT ${id}::int WHERE NOT EXISTS (SELECT FROM promised WHERE id = ${id})`
          : sql`INSERT INTO promised VALUES (${id})`
      ).pipe(
        Effect.match({
          onFailure: (error) => void ends[error._tag]++,
          onSuccess: () => {
            ends.confirmed++
            confirmed.add(id)
            while (kills.length > 0 && start > (kills[0] ?? 0))
              recoveries.push(performance.now() - (kills.shift() ?? 0))
          }
        }),
        Effect.tap(() => Effect.sync(() => (longest = Math.max(longest, performance.now() - start))))
      )
    })

    const kill = Effect.sync(() => {
      const pid = Number.parseInt(fs.readFileSync(path.join(dataDir, "postgres/data/postmaster.pid"), "utf8"), 10)
      process.kill(pid, "SIGKILL")
      kills.push(performance.now())
      faults.kill++
    }).pipe(Effect.ignoreCause)
    const terminate = sql`
      SELECT pg_terminate_backend(pid) FROM pg_stat_activity
      WHERE datname = current_database() AND pid <> pg_backend_pid() ORDER BY random() LIMIT 1`.pipe(
      Effect.tap(() => Effect.sync(() => faults.terminate++)),
      Effect.ignoreCause
    )
    const freeze = Effect.sync(() => {
      proxy.freeze()
      faults.freeze++
    })
    const forEver = (fault: Effect.Effect<unknown>, min: number, max: number) =>
      Effect.forever(Effect.andThen(between(min, max), fault))

    const load = Effect.all(
      Array.from({ length: writers }, () => Effect.forever(write)),
      { concurrency: "unbounded" }
    )
    const harm = Effect.all([forEver(kill, 6000, 12_000), forEver(terminate, 10, 100), forEver(freeze, 9000, 20_000)], {
      concurrency: "unbounded"
    })
    yield* Effect.raceFirst(load, Effect.raceFirst(harm, Effect.sleep(Duration.seconds(seconds))))

    // Writes in flight at the interruption can still be applied, and the last kill can still be in recovery.
    const rows = yield* db.read(
      "Faults.count",
      (sql) => sql<{ id: number; n: number }>`SELECT id, count(*)::int AS n FROM promised GROUP BY id`
    )
    const stored = new Set(rows.map(({ id }) => id))
    return {
      ...ends,
      faults,
      lost: [...confirmed].filter((id) => !stored.has(id)).length,
      doubled: rows.filter(({ n }) => n > 1).length,
      longestMs: Math.round(longest),
      recoveryMs: recoveries.map(Math.round).toSorted((a, b) => a - b)
    }
  })

const seconds = Number(process.argv[2] ?? 60)
const dataDir = fs.mkdtempSync(path.join(os.tmpdir(), "spillway-db-faults-"))
const server = EmbeddedPostgres.layer.pipe(
  Layer.provideMerge(configWith({})),
  Layer.provide(Layer.succeed(NodeConfig, { dataDir })),
  Layer.provide(NodeServices.layer)
)
const result = await Effect.gen(function* () {
  return yield* Effect.provideContext(
    program(dataDir, seconds),
    Context.merge(yield* Layer.build(server), yield* Effect.context())
  )
}).pipe(Effect.scoped, Effect.provideService(References.MinimumLogLevel, "None"), Effect.runPromise)
fs.rmSync(dataDir, { recursive: true, force: true })

console.log(JSON.stringify(result))
const slowest = Math.max(0, ...result.recoveryMs)
if (result.lost > 0 || result.doubled > 0 || result.longestMs > longestAllowed || slowest > recoveryAllowed)
  process.exitCode = 1
