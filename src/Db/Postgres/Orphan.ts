/** A PostgreSQL that outlived the Spillway that started it, and the lock files that one leaves. */
import { execFile } from "node:child_process"
import { Duration, Effect, FileSystem, Option, Path, Schedule } from "effect"
import { DatabaseUnusable } from "../DatabaseUnusable.ts"
import type { PostgresCluster } from "./Cluster.ts"
import * as PostgresKill from "./Kill.ts"

/** A setting that PostgreSQL ignores: it names, on its command line, the Spillway that started it. */
export function ownerSetting(pid: number) {
  return `spillway.owner=${pid}`
}

interface Process {
  readonly parent: number
  readonly args: string
}

/** None when there is no such process, or it may not be looked at: then it is somebody else's. */
const look = Effect.fnUntraced(function* (pid: number) {
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

/** First lines of `postmaster.pid` (its format: PostgreSQL's `pidfile.h`). */
const lockedBy = Effect.fnUntraced(function* (cluster: PostgresCluster) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const text = yield* Effect.option(fs.readFileString(path.join(cluster.data, "postmaster.pid")))
  return Option.filter(
    Option.map(text, (lines) => Math.abs(Number.parseInt(lines, 10))),
    (pid) => pid > 0
  )
})

const stop = Effect.fnUntraced(function* (pid: number, cluster: PostgresCluster, patience: Duration.Duration) {
  const gone = Effect.map(look(pid), (found) => Option.isNone(Option.filter(found, (p) => isOurs(p, cluster))))
  const wait = gone.pipe(
    Effect.repeat({ until: (isGone) => isGone, schedule: Schedule.spaced("10 millis") }),
    Effect.timeoutOption(patience)
  )
  yield* Effect.logInfo(`Stopping the PostgreSQL (process ${pid}) of a Spillway that was killed`)
  yield* PostgresKill.signal(pid, "SIGINT")
  if (Option.isSome(yield* wait)) return
  yield* PostgresKill.signal(pid, "SIGQUIT")
  if (Option.isSome(yield* wait)) return
  yield* PostgresKill.killAll(pid)
  if (Option.isSome(yield* wait)) return
  return yield* new DatabaseUnusable({
    problem: `PostgreSQL (process ${pid}) of a Spillway that was killed does not stop`,
    remedy: `end it (kill -KILL ${pid}), then start again`
  })
})

/**
 * Leaves the cluster free to be started. A process is only ever signalled when it is a PostgreSQL that a Spillway started
 * on this very directory and when that Spillway is no longer its parent. When the lock files name a process that is
 * something else, as after a restart that gave its number away, they are removed: PostgreSQL would heed them.
 */
export const clear = Effect.fnUntraced(function* (cluster: PostgresCluster, patience: Duration.Duration) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const locked = yield* lockedBy(cluster)
  if (Option.isNone(locked)) return
  const pid = locked.value
  const found = Option.filter(yield* look(pid), (process) => isOurs(process, cluster))
  if (Option.isSome(found)) {
    if (!isOrphan(found.value))
      return yield* new DatabaseUnusable({
        problem: `Another Spillway (process ${found.value.parent}) uses ${cluster.data}`,
        remedy: "stop it first, or give the server a database of yours (DATABASE_URL), which both can use"
      })
    yield* stop(pid, cluster, patience)
  }
  const files = [
    path.join(cluster.data, "postmaster.pid"),
    path.join(cluster.sockets, ".s.PGSQL.5432"),
    path.join(cluster.sockets, ".s.PGSQL.5432.lock")
  ]
  yield* Effect.forEach(files, (file) => fs.remove(file, { force: true }), { discard: true })
})
