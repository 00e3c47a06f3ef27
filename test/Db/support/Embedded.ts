/** The embedded PostgreSQL with real processes: data directories, servers, and a program that a test can kill. */
import { type ChildProcess, execFileSync, spawn } from "node:child_process"
import { once } from "node:events"
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs"
import { join } from "node:path"
import { createInterface } from "node:readline"
import { NodeServices } from "@effect/platform-node"
import { afterAll, assert } from "@effect/vitest"
import { Cause, Context, Effect, Exit, Layer, Option, References } from "effect"
import { Db } from "../../../src/Db.ts"
import * as Database from "../../../src/Db/Database.ts"
import { DatabaseUnusable } from "../../../src/Db/DatabaseUnusable.ts"
import * as EmbeddedPostgres from "../../../src/Db/Postgres/EmbeddedPostgres.ts"
import { NodeConfig } from "../../../src/NodeConfig.ts"
import { runDirectory } from "../../support/RunDirectory.ts"
import { configWith, until } from "./Fixture.ts"
import { childrenOf } from "./Processes.ts"

const root = mkdtempSync(join(runDirectory(), "spillway-embedded-"))
chmodSync(root, 0o711)
export const children = new Set<ChildProcess>()

afterAll(() => {
  for (const child of children) child.kill("SIGKILL")
  rmSync(root, { recursive: true, force: true, maxRetries: 10 })
})

let directories = 0
export const directory = () => {
  const path = join(root, `d${++directories}`)
  mkdirSync(path)
  return path
}

/** A copy of an initialized data directory; initializing one takes a second. */
const made = Effect.cached(
  Effect.gen(function* () {
    const path = directory()
    yield* Effect.scoped(start(path))
    return path
  })
).pipe(Effect.runSync)
export const copy = Effect.map(made, (path) => {
  const target = directory()
  execFileSync("cp", ["-a", `${path}/.`, target])
  return target
})

export const build = (
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

export const start = (...args: Parameters<typeof build>) =>
  Effect.map(build(...args), (context) => Context.get(context, Db))

export const failure = (dataDir: string) =>
  Effect.gen(function* () {
    const exit = yield* Effect.exit(Effect.scoped(start(dataDir)))
    const error = Exit.isFailure(exit) ? Option.getOrUndefined(Cause.findErrorOption(exit.cause)) : undefined
    assert.instanceOf(error, DatabaseUnusable)
    assert.notInclude(error.message, "\n")
    return error.message
  })

export const pidIn = (dataDir: string) =>
  Number.parseInt(readFileSync(join(dataDir, "postgres", "data", "postmaster.pid"), "utf8"), 10)

export const isRunning = (pid: number) => {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"))
  } catch {
    return false
  }
}

const isSuspended = (pid: number) => /^State:\s+T/m.test(readFileSync(`/proc/${pid}/status`, "utf8"))

/** Sends SIGSTOP to PostgreSQL and all its processes; returns their ids. */
export const suspend = Effect.fnUntraced(function* (dataDir: string) {
  const postmaster = pidIn(dataDir)
  process.kill(postmaster, "SIGSTOP")
  // A stopped postmaster starts no process and reaps none, so that the ids below remain those of its processes.
  yield* until(
    Effect.sync(() => isSuspended(postmaster)),
    (is) => is
  )
  const children = childrenOf(postmaster).map(({ pid }) => pid)
  for (const pid of children) process.kill(pid, "SIGSTOP")
  return [postmaster, ...children]
})

export const gone = (pid: number) =>
  until(
    Effect.sync(() => isRunning(pid)),
    (running) => !running
  )

export const spawnProgram = (dataDir: string, wrapper: ReadonlyArray<string> = []) => {
  const [command = "", ...args] = [...wrapper, process.execPath, join(import.meta.dirname, "EmbeddedProgram.ts")]
  const child = spawn(command, args, {
    env: { ...process.env, SPILLWAY_DATA_DIR: dataDir, DATABASE_URL: "" },
    stdio: ["ignore", "pipe", "ignore"]
  })
  children.add(child)
  child.once("close", () => children.delete(child))
  return child
}

/** The database in a process of its own, once it has written its first line. */
export const program = (dataDir: string, wrapper?: ReadonlyArray<string>) =>
  Effect.promise(async () => {
    const child = spawnProgram(dataDir, wrapper)
    const [line]: Array<unknown> = await once(createInterface(child.stdout), "line")
    return { child, line: String(line) }
  })

export const count = (db: Db["Service"]) =>
  Effect.map(
    db.read("Test.count", (sql) => sql<{ n: number }>`SELECT count(*)::int AS n FROM conversations`),
    (rows) => rows[0]?.n
  )
export const insert = (db: Db["Service"], id: string) =>
  db.write("Test.insert", (sql) => sql`INSERT INTO conversations (uid, id) VALUES ('u', ${id})`)

export const asRoot = process.getuid?.() === 0
