/** The node's own PostgreSQL, with real processes: started, killed, found again. */
import { type ChildProcess, execFileSync, spawn } from "node:child_process"
import { once } from "node:events"
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync
} from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { createInterface } from "node:readline"
import { NodeServices } from "@effect/platform-node"
import { afterAll, assert, describe, it } from "@effect/vitest"
import { Cause, Context, Duration, Effect, Exit, Layer, Option, References } from "effect"
import { Db } from "../../../src/Db.ts"
import * as Database from "../../../src/Db/Database.ts"
import { DatabaseUnusable } from "../../../src/Db/DatabaseUnusable.ts"
import { DbServer } from "../../../src/Db/DbServer.ts"
import * as EmbeddedPostgres from "../../../src/Db/Postgres/EmbeddedPostgres.ts"
import { NodeConfig } from "../../../src/NodeConfig.ts"
import { configWith, until } from "../support/Fixture.ts"

const root = mkdtempSync(join(tmpdir(), "spillway-embedded-"))
chmodSync(root, 0o711)
const children = new Set<ChildProcess>()

afterAll(() => {
  for (const child of children) child.kill("SIGKILL")
  rmSync(root, { recursive: true, force: true, maxRetries: 10 })
})

let directories = 0
const directory = () => {
  const path = join(root, `d${++directories}`)
  mkdirSync(path)
  return path
}

/** A copy of a data directory in which PostgreSQL has been before; making one anew takes a second. */
const made = Effect.cached(
  Effect.gen(function* () {
    const path = directory()
    yield* Effect.scoped(start(path))
    return path
  })
).pipe(Effect.runSync)
const copy = Effect.map(made, (path) => {
  const target = directory()
  execFileSync("cp", ["-a", `${path}/.`, target])
  return target
})

const build = (
  dataDir: string,
  layer = EmbeddedPostgres.layerNotDurable,
  changes: Parameters<typeof configWith>[0] = {}
) =>
  Layer.build(
    Layer.fresh(Database.layerNoDeps).pipe(
      Layer.provideMerge(Layer.fresh(layer)),
      Layer.provide(configWith(changes)),
      Layer.provide(Layer.succeed(NodeConfig, { dataDir })),
      Layer.provide(NodeServices.layer)
    )
  ).pipe(Effect.provideService(References.MinimumLogLevel, "None"))

const start = (...args: Parameters<typeof build>) => Effect.map(build(...args), (context) => Context.get(context, Db))

const failure = (dataDir: string) =>
  Effect.gen(function* () {
    const exit = yield* Effect.exit(Effect.scoped(start(dataDir)))
    const error = Exit.isFailure(exit) ? Option.getOrUndefined(Cause.findErrorOption(exit.cause)) : undefined
    assert.instanceOf(error, DatabaseUnusable)
    assert.notInclude(error.message, "\n")
    return error.message
  })

const pidIn = (dataDir: string) =>
  Number.parseInt(readFileSync(join(dataDir, "postgres", "data", "postmaster.pid"), "utf8"), 10)

const isRunning = (pid: number) => {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"))
  } catch {
    return false
  }
}

/** Stops the server and all its processes where they are; answers their numbers. */
const standStill = (dataDir: string) => {
  const postmaster = pidIn(dataDir)
  const children = execFileSync("ps", ["-o", "pid=", "--ppid", String(postmaster)], { encoding: "utf8" })
  const pids = [postmaster, ...children.trim().split(/\s+/).map(Number)]
  for (const pid of pids) process.kill(pid, "SIGSTOP")
  return pids
}

const gone = (pid: number) =>
  until(
    Effect.sync(() => isRunning(pid)),
    (running) => !running
  )

const spawnProgram = (dataDir: string, wrapper: ReadonlyArray<string> = []) => {
  const [command = "", ...args] = [...wrapper, process.execPath, join(import.meta.dirname, "EmbeddedProgram.ts")]
  const child = spawn(command, args, {
    env: { ...process.env, SPILLWAY_DATA_DIR: dataDir, DATABASE_URL: "" },
    stdio: ["ignore", "pipe", "ignore"]
  })
  children.add(child)
  child.once("close", () => children.delete(child))
  return child
}

/** A Spillway of its own process; answers with the first line it says. */
const program = (dataDir: string, wrapper?: ReadonlyArray<string>) =>
  Effect.promise(async () => {
    const child = spawnProgram(dataDir, wrapper)
    const [line]: Array<unknown> = await once(createInterface(child.stdout), "line")
    return { child, line: String(line) }
  })

const count = (db: Db["Service"]) =>
  Effect.map(
    db.read("Test.count", (sql) => sql<{ n: number }>`SELECT count(*)::int AS n FROM conversations`),
    (rows) => rows[0]?.n
  )
const insert = (db: Db["Service"], id: string) =>
  db.write("Test.insert", (sql) => sql`INSERT INTO conversations (uid, id) VALUES ('u', ${id})`)

const asRoot = process.getuid?.() === 0

describe("EmbeddedPostgres", () => {
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
      const left = execFileSync("ps", ["-eo", "args"], { encoding: "utf8" })
      assert.notInclude(left, dataDir)
    })
  )

  it.live("creates its data directory atomically, whenever it is killed", () =>
    Effect.gen(function* () {
      const dataDir = directory()
      for (const patience of [0, 50, 150, 400]) {
        const child = spawnProgram(dataDir)
        const half = Effect.sync(() => readdirSync(dataDir).some((name) => /^postgres(\.new\.\d+)?$/.test(name)))
        yield* until(half, (begun) => begun)
        yield* Effect.sleep(Duration.millis(patience))
        child.kill("SIGKILL")
        yield* until(
          Effect.sync(() => child.signalCode),
          (signal) => signal !== null
        )
      }
      yield* Effect.scoped(Effect.flatMap(start(dataDir), count))
      assert.deepStrictEqual(readdirSync(dataDir), ["postgres"])
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

  it.live("stops the PostgreSQL of a server that was killed with its watchdog at the next start", () =>
    Effect.gen(function* () {
      const dataDir = yield* copy
      const { child } = yield* program(dataDir)
      const pid = pidIn(dataDir)
      const watchdogs = execFileSync("ps", ["-eo", "pid,ppid,comm"], { encoding: "utf8" })
        .split("\n")
        .map((row) => row.trim().split(/\s+/))
        .filter(([, parent, name]) => parent === String(child.pid) && name === "sh")
      assert.strictEqual(watchdogs.length, 1)
      for (const [watchdog] of watchdogs) process.kill(Number(watchdog), "SIGKILL")
      child.kill("SIGKILL")
      yield* until(
        Effect.sync(() => child.signalCode),
        (signal) => signal !== null
      )
      assert.isTrue(isRunning(pid))
      yield* Effect.scoped(Effect.flatMap(start(dataDir), count))
      assert.isFalse(isRunning(pid))
    })
  )

  it.live("stops in bounded time when all processes of PostgreSQL hang, leaves none, and starts again", () =>
    Effect.gen(function* () {
      const dataDir = yield* copy
      const impatient = { postgresStopTimeout: Duration.millis(300) }
      const pids = yield* Effect.scoped(
        Effect.gen(function* () {
          yield* insert(yield* start(dataDir, EmbeddedPostgres.layer, impatient), "a")
          return standStill(dataDir)
        })
      ).pipe(Effect.timeout("30 seconds"))
      for (const pid of pids) yield* gone(pid)
      const { child } = yield* program(dataDir)
      const orphans = standStill(dataDir)
      child.kill("SIGKILL")
      yield* until(
        Effect.sync(() => child.signalCode),
        (signal) => signal !== null
      )
      const found = Effect.scoped(Effect.flatMap(start(dataDir, EmbeddedPostgres.layer, impatient), count))
      assert.strictEqual(yield* Effect.timeout(found, "30 seconds"), 1)
      for (const pid of orphans) yield* gone(pid)
    })
  )

  it.live("leaves another server's PostgreSQL running, and names that server", () =>
    Effect.gen(function* () {
      const dataDir = yield* copy
      const { child } = yield* program(dataDir)
      const pid = pidIn(dataDir)
      assert.include(yield* failure(dataDir), `Another Spillway (process ${child.pid}) uses `)
      assert.isTrue(isRunning(pid))
      child.kill("SIGTERM")
      yield* gone(pid)
    })
  )

  it.live("starts when the lock file names an unrelated process, and leaves that process alone", () =>
    Effect.gen(function* () {
      const dataDir = yield* copy
      const stranger = spawn("sleep", ["60"], { stdio: "ignore" })
      children.add(stranger)
      const data = join(dataDir, "postgres", "data")
      const lines = [stranger.pid, data, 1, 5432, join(dataDir, "postgres", "run"), "", "  1 1", "ready   ", ""]
      writeFileSync(join(data, "postmaster.pid"), lines.join("\n"))
      const owner = statSync(data)
      chownSync(join(data, "postmaster.pid"), owner.uid, owner.gid)
      yield* Effect.scoped(Effect.flatMap(start(dataDir), count))
      assert.strictEqual(stranger.exitCode ?? stranger.signalCode, null)
      stranger.kill()
    })
  )

  it.live("restarts PostgreSQL when it dies under load, without losing or repeating a confirmed write", () =>
    Effect.gen(function* () {
      const dataDir = yield* copy
      const db = yield* start(dataDir, EmbeddedPostgres.layer, { pool: 8 })
      const confirmed: Array<{ readonly id: string; readonly at: number }> = []
      let next = 0
      const writer = Effect.suspend(() => {
        const id = `c${next++}`
        return Effect.exit(
          Effect.tap(insert(db, id), () => Effect.sync(() => confirmed.push({ id, at: performance.now() })))
        )
      }).pipe(Effect.forever)
      const writers = Effect.all(
        Array.from({ length: 12 }, () => writer),
        { concurrency: "unbounded" }
      )
      const killed: Array<number> = []
      const kill = Effect.gen(function* () {
        const before = confirmed.length
        yield* until(
          Effect.sync(() => confirmed.length),
          (n) => n > before + 500
        )
        killed.push(performance.now())
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
      const recoveries = killed.map((at) => Math.min(...confirmed.map((c) => c.at).filter((t) => t > at + 5)) - at)
      for (const recovery of recoveries) assert.isBelow(recovery, 5000)
      const rows = yield* db.read(
        "Test.all",
        (sql) => sql<{ id: string; n: number }>`SELECT id, count(*)::int AS n FROM conversations GROUP BY id`
      )
      const stored = new Set(rows.map(({ id }) => id))
      assert.deepStrictEqual(
        confirmed.filter(({ id }) => !stored.has(id)),
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

  it.live("names the major version that created the data when it is another one", () =>
    Effect.gen(function* () {
      const dataDir = yield* copy
      writeFileSync(join(dataDir, "postgres", "data", "PG_VERSION"), "17\n")
      assert.match(
        yield* failure(dataDir),
        /was made by PostgreSQL 17, and this Spillway brings PostgreSQL 18: dump it/
      )
    })
  )

  it.live("rejects a directory that holds something else", () =>
    Effect.gen(function* () {
      const dataDir = directory()
      mkdirSync(join(dataDir, "postgres"))
      assert.match(yield* failure(dataDir), /exists and holds no PostgreSQL data: move it away/)
      const file = join(directory(), "file")
      writeFileSync(file, "")
      assert.match(
        yield* failure(join(file, "data")),
        /can't be used .*: let Spillway write there, or set SPILLWAY_DATA_DIR/
      )
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

  it.live.skipIf(!asRoot)(
    "runs PostgreSQL as another user when the server is root, also in a directory only root can enter",
    () =>
      Effect.gen(function* () {
        const closed = directory()
        const inside = join(closed, "data")
        execFileSync("cp", ["-a", yield* copy, inside])
        chmodSync(closed, 0o700)
        for (const dataDir of [yield* copy, inside])
          yield* Effect.scoped(
            Effect.gen(function* () {
              assert.strictEqual(yield* count(yield* start(dataDir)), 0)
              assert.strictEqual(statSync(`/proc/${pidIn(dataDir)}`).uid, 65_534)
              const status = readFileSync(`/proc/${pidIn(dataDir)}/status`, "utf8")
              assert.match(status, dataDir === inside ? /^CapEff:\s0{15}4$/m : /^CapEff:\s0{16}$/m)
            })
          )
      })
  )

  it.live.skipIf(!asRoot)("names the directory that it lacks the privilege to enter", () =>
    Effect.gen(function* () {
      const closed = directory()
      chmodSync(closed, 0o700)
      const { line } = yield* program(join(closed, "data"), [
        "setpriv",
        "--bounding-set=-dac_read_search,-dac_override",
        "--inh-caps=-dac_read_search,-dac_override"
      ])
      assert.include(
        line,
        `user 65534, which it runs as, can't enter ${closed}: allow others to traverse it (chmod o+x ${closed})`
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
})
