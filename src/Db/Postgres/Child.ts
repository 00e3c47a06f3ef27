/** A child process under another user, which Effect's `ChildProcess` does not support. */
import { type ChildProcess, spawn as spawnChild } from "node:child_process"
import { Deferred, Effect, type Scope } from "effect"

/** Latest lines of standard error that are kept, and characters per line: enough for the reason of an exit. */
const keptLines = 20
const keptLineLength = 500
/** How long to wait for its last lines after it exits: its own children may hold standard error open. */
const outputPatience = "500 millis"

/** `undefined` when Spillway is not root: the child then runs as the same user. */
export type User =
  | {
      readonly uid: number
      readonly gid: number
      /** util-linux's `setpriv`, and the capability that the child keeps. */
      readonly privilege?: { readonly setpriv: string; readonly capability: string }
    }
  | undefined

export interface Child {
  /** 0 when it did not start. */
  readonly pid: number
  /** The reason of its exit, for messages: `exit code 1`, `signal SIGKILL`, or why it did not start. */
  readonly ended: Effect.Effect<string>
  readonly succeeded: Effect.Effect<boolean>
  readonly isRunning: () => boolean
  readonly signal: (name: NodeJS.Signals) => void
  readonly lastLines: () => ReadonlyArray<string>
}

interface Options {
  readonly command: string
  readonly args: ReadonlyArray<string>
  readonly user: User
  /** Called with every complete line of standard error. */
  readonly onLine?: (line: string) => void
}

const keepLines = (child: ChildProcess, lines: Array<string>, onLine: ((line: string) => void) | undefined) => {
  let rest = ""
  child.stderr?.setEncoding("utf8")
  child.stderr?.on("data", (text: string) => {
    const parts = (rest + text).split("\n")
    rest = (parts.pop() ?? "").slice(-keptLineLength)
    for (const part of parts) {
      const line = part.slice(0, keptLineLength)
      if (lines.push(line) > keptLines) lines.shift()
      onLine?.(line)
    }
  })
}

/**
 * Node drops all capabilities when it changes the user; `setpriv` keeps one, and executes the program in its own process.
 * `no_setuid_fixup` is for `initdb`, whose access(2) calls would otherwise check the user and ignore the capability.
 */
const commandLine = ({ args, command, user }: Options): readonly [string, ReadonlyArray<string>] => {
  if (user?.privilege === undefined) return [command, args]
  const { capability, setpriv } = user.privilege
  const sets = ["inh-caps", "ambient-caps", "bounding-set"].map((set) => `--${set}=-all,+${capability}`)
  const identity = [
    `--reuid=${user.uid}`,
    `--regid=${user.gid}`,
    "--clear-groups",
    "--no-new-privs",
    "--securebits=+no_setuid_fixup"
  ]
  return [setpriv, [...identity, ...sets, "--", command, ...args]]
}

/**
 * Starts a child in a new session, out of reach of Ctrl-C, without the environment, which contains secrets. Its standard input
 * is a pipe that ends whenever this process exits. Closing the scope kills a running child.
 */
export function spawn(options: Options): Effect.Effect<Child, never, Scope.Scope> {
  return Effect.acquireRelease(
    Effect.sync(() => {
      const lines: Array<string> = []
      const ended = Deferred.makeUnsafe<{ readonly success: boolean; readonly how: string }>()
      const end = (success: boolean, how: string) => Deferred.doneUnsafe(ended, Effect.succeed({ success, how }))
      const [command, args] = commandLine(options)
      const identity = options.user?.privilege === undefined ? options.user : undefined
      const child = spawnChild(command, [...args], {
        ...(identity === undefined ? {} : { uid: identity.uid, gid: identity.gid }),
        cwd: "/",
        detached: true,
        env: { LC_ALL: "C", TZ: "UTC" },
        stdio: ["pipe", "ignore", "pipe"]
      })
      keepLines(child, lines, options.onLine)
      child.stdin.on("error", () => undefined)
      child.once("error", (error) => end(false, error.message))
      const closed = Deferred.makeUnsafe<void>()
      child.once("close", () => Deferred.doneUnsafe(closed, Effect.void))
      child.once("exit", (code, signal) => end(code === 0, signal === null ? `exit code ${code}` : `signal ${signal}`))
      const outcome = Effect.tap(Deferred.await(ended), () =>
        Effect.timeoutOption(Deferred.await(closed), outputPatience)
      )
      return {
        pid: child.pid ?? 0,
        ended: Effect.map(outcome, ({ how }) => how),
        succeeded: Effect.map(outcome, ({ success }) => success),
        isRunning: () => child.exitCode === null && child.signalCode === null && child.pid !== undefined,
        signal: (name: NodeJS.Signals) => void child.kill(name),
        lastLines: () => lines
      }
    }),
    (child) =>
      Effect.suspend(() => {
        if (!child.isRunning()) return Effect.void
        child.signal("SIGKILL")
        return child.ended
      })
  )
}
