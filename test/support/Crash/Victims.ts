/** A server, its PostgreSQL and its object store as processes that are killed, or stopped for a while, at random instants. */
import { type ChildProcess, spawn } from "node:child_process"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { type PostgresServer, startPostgres } from "../PostgresServer.ts"
import { dataDirectory, type Server, startServer } from "../Server.ts"

export type Victim = "server" | "database" | "store"

const bucket = "crash"
const script = Path.join(import.meta.dirname, "../../../scripts/gcs-server.ts")

const pause = (millis: number) => new Promise((resolve) => setTimeout(resolve, millis))

/** The store in a process of its own, on its directory. */
class Store {
  readonly #directory: string
  #child: ChildProcess | undefined
  #port = 0

  constructor(directory: string) {
    this.#directory = directory
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}`
  }

  async start(): Promise<void> {
    const options = ["--port", String(this.#port), "--bucket", bucket, "--data", this.#directory]
    const child = spawn(process.execPath, [script, ...options], { stdio: ["ignore", "pipe", "inherit"] })
    this.#child = child
    this.#port = await new Promise<number>((resolve, reject) => {
      let output = ""
      child.stdout.on("data", (data: Buffer) => {
        output += data.toString()
        const port = /127\.0\.0\.1:(\d+)/.exec(output)?.[1]
        if (port !== undefined) resolve(Number(port))
      })
      child.once("exit", (code) => reject(new Error(`the store ended with ${code}: ${output}`)))
    })
  }

  signal(signal: NodeJS.Signals): void {
    this.#child?.kill(signal)
  }

  async kill(): Promise<void> {
    const child = this.#child
    this.#child = undefined
    if (child === undefined || child.exitCode !== null) return
    const ended = new Promise((resolve) => child.once("exit", resolve))
    child.kill("SIGKILL")
    await ended
  }
}

export class Victims {
  readonly #dataDir = dataDirectory()
  readonly #databaseDir = dataDirectory()
  readonly #store = new Store(Path.join(Path.dirname(this.#dataDir), "store"))
  readonly #env: Readonly<Record<string, string>>
  #database: PostgresServer | undefined
  #server: Server | undefined
  readonly #logs: Array<() => string> = []
  /** Undefined while the server is down. */
  url: string | undefined
  readonly kills = { server: 0, database: 0, store: 0, stops: 0 }

  constructor(env: Readonly<Record<string, string>>) {
    this.#env = env
  }

  get database(): PostgresServer {
    if (this.#database === undefined) throw new Error("the database has not started")
    return this.#database
  }

  async start(): Promise<void> {
    await this.#store.start()
    this.#database = await startPostgres(this.#databaseDir)
    await this.startServer()
  }

  async startServer(): Promise<void> {
    this.#server = await startServer(this.#dataDir, {
      ...this.#env,
      DATABASE_URL: this.database.url,
      SPILLWAY_BUCKET: bucket,
      SPILLWAY_GCS_ENDPOINT: this.#store.url
    })
    this.#logs.push(this.#server.output)
    this.url = this.#server.url
  }

  async stopServer(): Promise<number | null> {
    this.url = undefined
    return (await this.#server?.stop()) ?? null
  }

  /** Kills the victim and starts it again after `downMillis`. PostgreSQL restarts by itself. */
  async kill(victim: Victim, downMillis: number): Promise<void> {
    this.kills[victim]++
    if (victim === "database") {
      this.database.kill()
      return
    }
    if (victim === "store") {
      await this.#store.kill()
      await pause(downMillis)
      return this.#store.start()
    }
    this.url = undefined
    await this.#server?.kill()
    await pause(downMillis)
    await this.startServer()
  }

  /** Suspends the store: its requests hang for `millis`. */
  async stopStore(millis: number): Promise<void> {
    this.kills.stops++
    this.#store.signal("SIGSTOP")
    await pause(millis)
    this.#store.signal("SIGCONT")
  }

  /** What the servers have logged. */
  output(): string {
    return this.#logs.map((log) => log()).join("")
  }

  async remove(): Promise<void> {
    await this.#server?.kill()
    await this.#store.kill()
    await this.#database?.stop()
    for (const directory of [this.#dataDir, this.#databaseDir])
      Fs.rmSync(Path.dirname(directory), { recursive: true, force: true, maxRetries: 20 })
  }
}
