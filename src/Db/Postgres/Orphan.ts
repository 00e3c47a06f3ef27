/** Stops a PostgreSQL that outlived the Spillway that started it, and removes stale lock files. */
import { execFile } from "node:child_process"
import { Duration, Effect, FileSystem, Option, Path, Schedule } from "effect"
import { DatabaseUnusable } from "../DatabaseUnusable.ts"
import type { PostgresCluster } from "./Cluster.ts"
import * as Stop from "./Stop.ts"

/** A setting that PostgreSQL ignores; on its command line it identifies the Spillway that started it. */
export function ownerSetting(pid: number) {
  return `spillway.owner=${pid}`
}

interface Process {
  readonly parent: number
  readonly args: string
}

/** None when the process does not exist or belongs to another user. */
const inspect = Effect.fnUntraced(function* (pid: number) {
  const fs = yield* FileSystem.FileSystem
  if (process.platform === "linux") {
    const read = (name: string) => Effect.option(fs.readFileString(`/proc/${pid}/${name}`))
    const [status, args] = yield* Effect.all([read("status"), read("cmdline")])
    const parent = Option.map(status, (text) => Number(/^PPid:\s*(\d+)$/m.exec(text)?.[1] ?? 0))
    return Option.zipWith(parent, args, (parent, args): Process => ({ parent, args: args.replaceAll("\0", " ") }))
  }
  return yield* Effect.callback<Option.Option<Process>>((resume) => {
    execFile("ps", ["-ww", "-o", "ppid=,args=", "-p", String(pid)], (error, output) => {
      const found = error === null ? /^\s*(\d+)\s+(.*)/.exec(output) : null
      resume(
        Effect.succeed(found === null ? Option.none() : Option.some({ parent: Number(found[1]), args: found[2] ?? "" }))
      )
    })
  })
})

const isOurs = (process: Process, cluster: PostgresCluster) =>
  process.args.includes(`-D ${cluster.data} `) && process.args.includes(ownerSetting(0).slice(0, -1))

const isOrphan = (process: Process) => !process.args.includes(`${ownerSetting(process.parent)} `)

/** The process ID in `postmaster.pid` (format: PostgreSQL's `pidfile.h`). */
const lockedBy = Effect.fnUntraced(function* (cluster: PostgresCluster) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const text = yield* Effect.option(fs.readFileString(path.join(cluster.data, "postmaster.pid")))
  return Option.filter(
    Option.map(text, (lines) => Math.abs(Number.parseInt(lines, 10))),
    (pid) => pid > 0
  )
})

const stopOrphan = Effect.fnUntraced(function* (pid: number, cluster: PostgresCluster, patience: Duration.Duration) {
  const isRunning = Effect.map(
    inspect(pid),
    Option.exists((process) => isOurs(process, cluster))
  )
  const ended = Effect.repeat(isRunning, { until: (is) => !is, schedule: Schedule.spaced("10 millis") })
  yield* Effect.logInfo(`Stopping the PostgreSQL (process ${pid}) of a Spillway that was killed`)
  yield* Stop.stop({ pid, isRunning, ended }, patience)
  if (Option.isSome(yield* Effect.timeoutOption(ended, patience))) return
  return yield* new DatabaseUnusable({
    problem: `PostgreSQL (process ${pid}) of a Spillway that was killed does not stop`,
    remedy: `end it (kill -KILL ${pid}), then start again`
  })
})

/**
 * Prepares the cluster for a start. Signals only a PostgreSQL that a Spillway, no longer its parent, started on this
 * directory. Removes lock files that name any other process, whose ID was reused, because PostgreSQL would obey them.
 */
export const cleanUp = Effect.fnUntraced(function* (cluster: PostgresCluster, patience: Duration.Duration) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const locked = yield* lockedBy(cluster)
  if (Option.isNone(locked)) return
  const pid = locked.value
  const found = Option.filter(yield* inspect(pid), (process) => isOurs(process, cluster))
  if (Option.isSome(found)) {
    if (!isOrphan(found.value))
      return yield* new DatabaseUnusable({
        problem: `Another Spillway (process ${found.value.parent}) uses ${cluster.data}`,
        remedy: "stop it first, or give the server a database of yours (DATABASE_URL), which both can use"
      })
    yield* stopOrphan(pid, cluster, patience)
  }
  const files = [
    path.join(cluster.data, "postmaster.pid"),
    path.join(cluster.sockets, ".s.PGSQL.5432"),
    path.join(cluster.sockets, ".s.PGSQL.5432.lock")
  ]
  yield* Effect.forEach(files, (file) => fs.remove(file, { force: true }), { discard: true })
})
