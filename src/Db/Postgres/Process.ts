/** One run of the embedded PostgreSQL. It stops with its scope, and a watchdog stops it if Spillway is killed. */
import { Duration, Effect, FileSystem, Path, Schedule, type Scope } from "effect"
import { DatabaseUnusable } from "../DatabaseUnusable.ts"
import { DbConfig } from "../DbConfig.ts"
import type { PostgresBinaries } from "./Binaries.ts"
import * as Child from "./Child.ts"
import type { PostgresCluster } from "./Cluster.ts"
import * as Orphan from "./Orphan.ts"
import * as Stop from "./Stop.ts"

/** Connections in addition to the pool: migrations, listeners, an operator's psql. */
const spareConnections = 40

/** Poll interval of readiness. */
const readyPoll = Duration.millis(5)

const settings = (cluster: PostgresCluster, pool: number, durable: boolean) => ({
  listen_addresses: "",
  unix_socket_directories: cluster.sockets,
  unix_socket_permissions: "0700",
  max_connections: String(pool + spareConnections),
  timezone: "UTC",
  log_timezone: "UTC",
  jit: "off",
  // Spillway's logger adds the time. Statements may contain user data, which must not be logged.
  log_line_prefix: "",
  log_min_error_statement: "panic",
  ...(durable ? {} : { fsync: "off", synchronous_commit: "off", full_page_writes: "off" })
})

/** Warnings and errors that end a connection or the server are for the operator; errors of statements go to the caller. */
const log = (line: string, stopping: boolean) =>
  (!stopping && /^(WARNING|FATAL|PANIC):/.test(line) ? Effect.logWarning(line) : Effect.logDebug(line)).pipe(
    Effect.annotateLogs({ component: "PostgreSQL" })
  )

const start = Effect.fnUntraced(function* (
  binaries: PostgresBinaries,
  cluster: PostgresCluster,
  durable: boolean,
  isStopping: () => boolean
) {
  const { pool } = yield* DbConfig
  const fork = Effect.runForkWith(yield* Effect.context<never>())
  return yield* Child.spawn({
    command: binaries.postgres,
    args: [
      "-D",
      cluster.data,
      "-c",
      Orphan.ownerSetting(process.pid),
      ...Object.entries(settings(cluster, pool, durable)).flatMap(([name, value]) => ["-c", `${name}=${value}`])
    ],
    user: cluster.user,
    onLine: (line) => void fork(log(line, isStopping()))
  })
})

/** The eighth line of `postmaster.pid` has the server's state; `pg_ctl` waits for it too. */
const awaitReady = Effect.fnUntraced(function* (child: Child.Child, cluster: PostgresCluster) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const file = path.join(cluster.data, "postmaster.pid")
  const isReady = fs.readFileString(file).pipe(
    Effect.map((text) => {
      const lines = text.split("\n")
      return lines[0] === String(child.pid) && lines[7]?.trim() === "ready"
    }),
    Effect.orElseSucceed(() => false)
  )
  yield* Effect.repeat(isReady, { until: (ready) => ready, schedule: Schedule.spaced(readyPoll) })
})

const failed = (child: Child.Child, how: string) =>
  new DatabaseUnusable({
    problem: `PostgreSQL did not start (${how})`,
    remedy: child.lastLines().slice(-3).join(" ") || "it printed no message"
  })

/** Returns when the server accepts connections. */
export const run = Effect.fnUntraced(function* (
  binaries: PostgresBinaries,
  cluster: PostgresCluster,
  durable: boolean
): Effect.fn.Return<Child.Child, DatabaseUnusable, DbConfig | FileSystem.FileSystem | Path.Path | Scope.Scope> {
  const config = yield* DbConfig
  let stopping = false
  const child = yield* start(binaries, cluster, durable, () => stopping)
  const patience = config.postgresStopTimeout
  yield* Child.spawn({
    command: "/bin/sh",
    args: [
      "-c",
      Stop.watchdog,
      "sh",
      String(child.pid),
      cluster.data,
      String(Math.ceil(Duration.toSeconds(patience) * 10))
    ],
    user: cluster.user
  })
  const fs = yield* FileSystem.FileSystem
  const running = { pid: child.pid, isRunning: Effect.sync(child.isRunning), ended: child.ended }
  yield* Effect.addFinalizer(() => {
    stopping = true
    return Effect.provideService(Stop.stop(running, patience), FileSystem.FileSystem, fs)
  })
  yield* awaitReady(child, cluster).pipe(
    Effect.raceFirst(Effect.flatMap(child.ended, (how) => failed(child, how))),
    Effect.timeoutOrElse({
      duration: config.postgresStartTimeout,
      orElse: () => failed(child, `not ready after ${Duration.format(config.postgresStartTimeout)}`)
    })
  )
  return child
})
