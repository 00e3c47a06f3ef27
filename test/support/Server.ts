/** Runs the real server as a process, in its own directory. */
import { type ChildProcess, spawn } from "node:child_process"
import * as Fs from "node:fs"
import * as Path from "node:path"
import * as Cluster from "./Cluster.ts"
import { runDirectory } from "./RunDirectory.ts"
import { processEnvironment } from "./Settings.ts"

export interface Server {
  readonly pid: number
  readonly url: string
  readonly key: string
  readonly output: () => string
  /** Sends SIGKILL. */
  readonly kill: () => Promise<void>
  /** Sends SIGTERM and returns the exit code. */
  readonly stop: () => Promise<number | null>
}

const root = Path.join(import.meta.dirname, "../..")
/** The command of `npm start`: its environment, and the arguments of Node. */
const command = /env (\w+)=(\w+) node (--.*)$/.exec(
  JSON.parse(Fs.readFileSync(Path.join(root, "package.json"), "utf8")).scripts.start
)
const [, variable = "", value = "", nodeArguments = "src/main.ts"] = command ?? []

const ended = (child: ChildProcess) =>
  new Promise<number | null>((resolve) => {
    if (child.exitCode !== null || child.signalCode !== null) resolve(child.exitCode)
    else child.once("exit", (code) => resolve(code))
  })

const running = new Set<ChildProcess>()
process.once("exit", () => {
  for (const child of running) child.kill("SIGKILL")
})

export const spawnServer = (dataDir: string, env: Readonly<Record<string, string>> = {}) => {
  const child = spawn(process.execPath, nodeArguments.split(" "), {
    cwd: root,
    env: {
      ...process.env,
      [variable]: value,
      SPILLWAY_DATA_DIR: dataDir,
      SPILLWAY_PORT: "0",
      SPILLWAY_LOG_FORMAT: "json",
      ...processEnvironment(env)
    },
    stdio: ["ignore", "pipe", "pipe"]
  })
  running.add(child)
  child.once("exit", () => running.delete(child))
  let output = ""
  child.stdout.setEncoding("utf8").on("data", (text: string) => (output += text))
  child.stderr.setEncoding("utf8").on("data", (text: string) => (output += text))
  return { child, output: () => output }
}

/** Returns when the server listens; fails with its output if it exits before. */
export const startEmpty = async (dataDir: string, env: Readonly<Record<string, string>> = {}): Promise<Server> => {
  const { child, output } = spawnServer(dataDir, env)
  const url = await new Promise<string>((resolve, reject) => {
    const look = () => {
      const found = /Spillway listens on (http:[^\s"]+)/.exec(output())
      if (found?.[1] !== undefined) resolve(found[1])
    }
    child.stdout.on("data", look)
    child.once("exit", (code) => reject(new Error(`the server ended with ${code}:\n${output()}`)))
  })
  return {
    pid: child.pid ?? 0,
    url,
    key: env["SPILLWAY_ADMIN_KEY"] ?? Fs.readFileSync(Path.join(dataDir, "admin-key"), "utf8").trim(),
    output,
    kill: async () => {
      child.kill("SIGKILL")
      await ended(child)
    },
    stop: async () => {
      child.kill("SIGTERM")
      return ended(child)
    }
  }
}

/** In a test run, a data directory without a database gets a copy of a migrated one. */
export const startServer: typeof startEmpty = async (dataDir, env = {}) => {
  if (env["DATABASE_URL"] === undefined) await Cluster.copyTo(dataDir)
  return startEmpty(dataDir, env)
}

/** A directory that the embedded database's own user can reach. */
export const dataDirectory = (): string => {
  const directory = Fs.mkdtempSync(Path.join(runDirectory(), "spillway-e2e-"))
  Fs.chmodSync(directory, 0o755)
  return Path.join(directory, "data")
}
