/** Processes that delete, and the objects that they share. */
import { type ChildProcess, spawn } from "node:child_process"
import { join } from "node:path"
import { Effect, Redacted } from "effect"
import type { Scope } from "effect"
import { SqlClient } from "effect/sql"
import { DbServer } from "../../../src/Db/DbServer.ts"

export interface Node {
  readonly pid: number
  readonly kill: Effect.Effect<void>
  readonly signal: (name: "SIGSTOP" | "SIGCONT") => Effect.Effect<void>
}

const program = join(import.meta.dirname, "NodeProgram.ts")

const ended = (child: ChildProcess) =>
  Effect.callback<void>((resume) => {
    if (child.exitCode !== null || child.signalCode !== null) resume(Effect.void)
    else child.once("exit", () => resume(Effect.void))
  })

/** Ready when it returns; killed with the scope. */
export const startNode = (
  options: { readonly log?: string; readonly pause?: number } = {}
): Effect.Effect<Node, never, DbServer | Scope.Scope> =>
  Effect.gen(function* () {
    const { login } = yield* DbServer
    const password = Redacted.isRedacted(login.password) ? String(Redacted.value(login.password)) : ""
    const { database, host, username } = login
    const child = spawn(process.execPath, [program], {
      env: { ...process.env, DELETION_NODE: JSON.stringify({ host, database, username, password, ...options }) },
      stdio: ["ignore", "pipe", "inherit"]
    })
    const kill = Effect.andThen(
      Effect.sync(() => child.kill("SIGKILL")),
      ended(child)
    )
    yield* Effect.addFinalizer(() => kill)
    yield* Effect.callback<void>((resume) => {
      child.stdout.setEncoding("utf8").on("data", (text: string) => {
        if (text.includes("ready")) resume(Effect.void)
        else console.log(text)
      })
      child.once("exit", (code, signal) => resume(Effect.die(new Error(`the node ended with ${code ?? signal}`))))
    })
    return { pid: child.pid ?? 0, kill, signal: (name) => Effect.sync(() => void child.kill(name)) }
  })

/** Where nodes without a log have their objects; empty. */
export const makeObjects = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql`CREATE TABLE IF NOT EXISTS objects (key text PRIMARY KEY, generation text NOT NULL)`
  yield* sql`
    CREATE TABLE IF NOT EXISTS removals (
      key text NOT NULL, generation text NOT NULL, pid integer NOT NULL, at timestamptz NOT NULL DEFAULT clock_timestamp()
    )`
  yield* sql`TRUNCATE objects, removals`
})

/** `count` objects of the first generation. */
export const putObjects = (count: number) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    yield* sql`INSERT INTO objects SELECT 'o' || n, '1' FROM generate_series(1, ${count}::int) n`
    return Array.from({ length: count }, (_, n) => ({ key: `o${n + 1}`, generation: "1", uid: `u${n % 7}` }))
  })

/** Tombstones that are left, dead ones included. */
export const left = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const [row] = yield* sql<{ readonly n: number }>`SELECT count(*)::int AS n FROM tombstones`
  return row?.n ?? 0
})
