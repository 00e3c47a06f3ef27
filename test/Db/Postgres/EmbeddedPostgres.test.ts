/** Starts, stops, crashes and hangs of the embedded PostgreSQL, with real processes. */
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs"
import { execFileSync } from "node:child_process"
import { join } from "node:path"
import { assert, it } from "@effect/vitest"
import { Context, Duration, Effect } from "effect"
import { Db, Notifications } from "../../../src/Db.ts"
import { DbServer } from "../../../src/Db/DbServer.ts"
import * as EmbeddedPostgres from "../../../src/Db/Postgres/EmbeddedPostgres.ts"
import {
  build,
  copy,
  count,
  failure,
  gone,
  insert,
  isRunning,
  pidIn,
  program,
  start,
  suspend
} from "../support/Embedded.ts"
import { until } from "../support/Fixture.ts"
import { processes } from "../support/Processes.ts"

it.live("keeps rows over a restart, and leaves no process", () =>
  Effect.gen(function* () {
    const dataDir = yield* copy
    const pids = yield* Effect.forEach(["a", "b"], (id, n) =>
      Effect.scoped(
        Effect.gen(function* () {
          const db = yield* start(dataDir)
          assert.strictEqual(yield* count(db), n)
          yield* insert(db, id)
          return pidIn(dataDir)
        })
      )
    )
    for (const pid of pids) assert.isFalse(isRunning(pid))
    assert.isFalse(existsSync(join(dataDir, "postgres", "data", "postmaster.pid")))
    const left = processes().map(({ args }) => args)
    assert.notInclude(left.join("\n"), dataDir)
  })
)

it.live("stops when the server is killed", () =>
  Effect.gen(function* () {
    const dataDir = yield* copy
    const { child, line } = yield* program(dataDir)
    assert.strictEqual(line, "ready")
    const pid = pidIn(dataDir)
    assert.isTrue(isRunning(pid))
    child.kill("SIGKILL")
    yield* gone(pid)
  })
)

it.live("stops in bounded time when all processes of PostgreSQL hang, leaves none, and starts again", () =>
  Effect.gen(function* () {
    const dataDir = yield* copy
    const impatient = { postgresStopTimeout: Duration.millis(300) }
    const pids = yield* Effect.scoped(
      Effect.gen(function* () {
        const context = yield* build(dataDir, EmbeddedPostgres.layer, impatient)
        yield* insert(Context.get(context, Db), "a")
        // Its connection must not wait for PostgreSQL either.
        yield* until(Effect.sync(Context.get(context, Notifications).isListening), (is) => is)
        return yield* suspend(dataDir)
      })
    ).pipe(Effect.timeout("2 minutes"))
    for (const pid of pids) yield* gone(pid)
    const { child } = yield* program(dataDir)
    const orphans = yield* suspend(dataDir)
    child.kill("SIGKILL")
    yield* until(
      Effect.sync(() => child.signalCode),
      (signal) => signal !== null
    )
    const found = Effect.scoped(Effect.flatMap(start(dataDir, EmbeddedPostgres.layer, impatient), count))
    assert.strictEqual(yield* Effect.timeout(found, "2 minutes"), 1)
    for (const pid of orphans) yield* gone(pid)
  })
)

it.live("restarts PostgreSQL when it dies under load, without losing or repeating a confirmed write", () =>
  Effect.gen(function* () {
    const dataDir = yield* copy
    const db = yield* start(dataDir, EmbeddedPostgres.layer, { pool: 8 })
    const confirmed: Array<string> = []
    let next = 0
    const writer = Effect.suspend(() => {
      const id = `c${next++}`
      return Effect.exit(Effect.tap(insert(db, id), () => Effect.sync(() => confirmed.push(id))))
    }).pipe(Effect.forever)
    const writers = Effect.all(
      Array.from({ length: 12 }, () => writer),
      { concurrency: "unbounded" }
    )
    const kill = Effect.gen(function* () {
      const before = confirmed.length
      yield* until(
        Effect.sync(() => confirmed.length),
        (n) => n > before + 100
      )
      const pid = pidIn(dataDir)
      process.kill(pid, "SIGKILL")
      yield* gone(pid)
      const at = confirmed.length
      yield* until(
        Effect.sync(() => confirmed.length),
        (n) => n > at + 20
      )
    })
    yield* Effect.raceFirst(writers, Effect.andThen(Effect.andThen(kill, kill), kill))
    const rows = yield* db.read(
      "Test.all",
      (sql) => sql<{ id: string; n: number }>`SELECT id, count(*)::int AS n FROM conversations GROUP BY id`
    )
    const stored = new Set(rows.map(({ id }) => id))
    assert.deepStrictEqual(
      confirmed.filter((id) => !stored.has(id)),
      []
    )
    assert.deepStrictEqual(
      rows.filter(({ n }) => n !== 1),
      []
    )
  }).pipe(Effect.scoped)
)

it.live("starts in a data directory whose path is too long for a socket", () =>
  Effect.gen(function* () {
    const dataDir = join(yield* copy, "x".repeat(120))
    mkdirSync(dataDir)
    execFileSync("mv", [join(dataDir, "..", "postgres"), dataDir])
    const sockets = yield* Effect.scoped(
      Effect.gen(function* () {
        const context = yield* build(dataDir)
        assert.strictEqual(yield* count(Context.get(context, Db)), 0)
        const { host = "" } = Context.get(context, DbServer).login
        assert.notInclude(host, dataDir)
        assert.strictEqual(statSync(host).mode & 0o777, 0o700)
        return host
      })
    )
    assert.isFalse(existsSync(sockets))
  })
)

it.live("shows PostgreSQL's last log lines when it does not start", () =>
  Effect.gen(function* () {
    const dataDir = yield* copy
    writeFileSync(join(dataDir, "postgres", "data", "postgresql.conf"), "shared_buffers = nonsense\n")
    assert.match(
      yield* failure(dataDir),
      /^PostgreSQL did not start \(exit code 1\): .*invalid value for parameter "shared_buffers"/
    )
  })
)

it.live("listens on a private socket only, with a private password file", () =>
  Effect.gen(function* () {
    const dataDir = yield* copy
    yield* Effect.scoped(
      Effect.gen(function* () {
        yield* start(dataDir)
        assert.strictEqual(statSync(join(dataDir, "postgres")).mode & 0o777, 0o700)
        assert.strictEqual(statSync(join(dataDir, "postgres", "run")).mode & 0o777, 0o700)
        assert.strictEqual(statSync(join(dataDir, "postgres", "password")).mode & 0o777, 0o600)
        const sockets = readFileSync("/proc/net/tcp", "utf8") + readFileSync("/proc/net/tcp6", "utf8")
        assert.notMatch(sockets, /:1538 [0-9A-F]+:0000 0A/)
      })
    )
  })
)
