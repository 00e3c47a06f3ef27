/** Kills a PostgreSQL that does not stop, with all its processes, so that none holds its data directory. */
import { execFile } from "node:child_process"
import { Effect, FileSystem } from "effect"

/** Ignores a process that has just exited. */
export function signal(pid: number, name: NodeJS.Signals) {
  return Effect.ignoreCause(Effect.sync(() => process.kill(pid, name)))
}

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

/** Kills the children before the parent that lists them. The parent is stopped meanwhile, so it starts no more. */
export const killAll = Effect.fnUntraced(function* (pid: number) {
  yield* signal(pid, "SIGSTOP")
  yield* Effect.forEach(yield* childrenOf(pid), (child) => signal(child, "SIGKILL"), { discard: true })
  yield* signal(pid, "SIGKILL")
})
