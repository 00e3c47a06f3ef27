/**
 * Stops a PostgreSQL: a fast shutdown, then an immediate one, then SIGKILL for all its processes, so that none holds its data
 * directory.
 */
import { execFile } from "node:child_process"
import { type Duration, Effect, FileSystem, Option } from "effect"

/**
 * Reads until its input ends, which happens whenever Spillway exits. Then stops the PostgreSQL with process ID `$1` and
 * data directory `$2`: a fast shutdown, and after `$3` tenths of a second an immediate one.
 */
export const watchdog = `
exec 2> /dev/null
while read -r _; do :; done
runs() { read -r pid < "$2/postmaster.pid" && [ "$pid" = "$1" ] && kill -0 "$1"; }
runs "$1" "$2" && kill -INT "$1"
n=0
while runs "$1" "$2" && [ "$n" -lt "$3" ]; do sleep 0.1; n=$((n + 1)); done
runs "$1" "$2" && kill -QUIT "$1"
`

/** Ignores a process that has just exited. */
const signal = (pid: number, name: NodeJS.Signals) => Effect.ignoreCause(Effect.sync(() => process.kill(pid, name)))

const numbers = (text: string) =>
  text
    .split(/\s+/)
    .map(Number)
    .filter((pid) => pid > 0)

/** The child processes. Each has its own session, so no single signal reaches all. */
const childrenOf = Effect.fnUntraced(function* (pid: number) {
  const fs = yield* FileSystem.FileSystem
  if (process.platform === "linux")
    return numbers(yield* Effect.orElseSucceed(fs.readFileString(`/proc/${pid}/task/${pid}/children`), () => ""))
  return yield* Effect.callback<ReadonlyArray<number>>((resume) => {
    execFile("pgrep", ["-P", String(pid)], (_error, output) => resume(Effect.succeed(numbers(output))))
  })
})

/**
 * Kills the children before the parent that lists them. The parent is stopped meanwhile, so it starts no more. Lists again,
 * because the kernel can leave out a child while another one exits (proc(5), `/proc/pid/task/tid/children`).
 */
const killAll = Effect.fnUntraced(function* (pid: number) {
  yield* signal(pid, "SIGSTOP")
  const killed = new Set<number>()
  for (;;) {
    const left = (yield* childrenOf(pid)).filter((child) => !killed.has(child))
    if (left.length === 0) break
    for (const child of left) {
      yield* signal(child, "SIGKILL")
      killed.add(child)
    }
  }
  yield* signal(pid, "SIGKILL")
})

export interface Running<R> {
  readonly pid: number
  readonly isRunning: Effect.Effect<boolean, never, R>
  readonly ended: Effect.Effect<unknown, never, R>
}

/** Waits `patience` after each signal but the last. */
export const stop = Effect.fnUntraced(function* <R>(
  { ended, isRunning, pid }: Running<R>,
  patience: Duration.Duration
) {
  for (const name of ["SIGINT", "SIGQUIT"] as const) {
    if (!(yield* isRunning)) return
    yield* signal(pid, name)
    if (Option.isSome(yield* Effect.timeoutOption(ended, patience))) return
  }
  yield* killAll(pid)
})
