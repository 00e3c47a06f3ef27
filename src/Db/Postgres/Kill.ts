/** The end of a PostgreSQL that does not stop: none of its processes is left to hold its data directory. */
import { execFile } from "node:child_process"
import { Effect, FileSystem } from "effect"

/** Signalling a process that has just gone throws; that is what we want of it. */
export function signal(pid: number, name: NodeJS.Signals) {
  return Effect.ignoreCause(Effect.sync(() => process.kill(pid, name)))
}

const numbers = (text: string) =>
  text
    .split(/\s+/)
    .map(Number)
    .filter((pid) => pid > 0)

/** They have sessions of their own: no signal reaches them all. */
const childrenOf = Effect.fnUntraced(function* (pid: number) {
  const fs = yield* FileSystem.FileSystem
  if (process.platform === "linux")
    return numbers(yield* Effect.orElseSucceed(fs.readFileString(`/proc/${pid}/task/${pid}/children`), () => ""))
  return yield* Effect.callback<ReadonlyArray<number>>((resume) => {
    execFile("pgrep", ["-P", String(pid)], (_error, output) => resume(Effect.succeed(numbers(output))))
  })
})

/** The children first, while their parent says which they are. It can't start others: it is held meanwhile. */
export const killAll = Effect.fnUntraced(function* (pid: number) {
  yield* signal(pid, "SIGSTOP")
  yield* Effect.forEach(yield* childrenOf(pid), (child) => signal(child, "SIGKILL"), { discard: true })
  yield* signal(pid, "SIGKILL")
})
