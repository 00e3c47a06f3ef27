/** Servers that share a database and a store, sampled while they run, and restarted one after another. */
import * as fs from "node:fs"
import * as path from "node:path"
import { pause } from "../../bench/Measurement.ts"
import { dataDirectory, type Server, startServer } from "../../test/support/Server.ts"

export interface NodeSample {
  readonly at: number
  readonly node: number
  readonly pid: number
  readonly captures: number
  readonly rssMB: number
  readonly heapMB: number
  readonly externalMB: number
  /** File descriptors, and what keeps the event loop alive, without those of captures. */
  readonly descriptors: number
  readonly resources: number
  readonly loopMeanMs: number
  readonly loopMaxMs: number
  readonly journalMB: number
}

export interface Stop {
  readonly node: number
  readonly code: number | null
  readonly seconds: number
}

/** A node that does not answer in time has no sample. */
const patienceMillis = 10_000

/** Active resources of a capture: its socket. */
const perCapture = 1

export class Nodes {
  readonly samples: Array<NodeSample> = []
  readonly stops: Array<Stop> = []
  readonly #env: Readonly<Record<string, string>>
  readonly #directories: ReadonlyArray<string>
  readonly #servers: Array<Server | undefined>
  #began = performance.now()

  private constructor(count: number, env: Readonly<Record<string, string>>) {
    this.#env = env
    this.#directories = Array.from({ length: count }, dataDirectory)
    this.#servers = this.#directories.map(() => undefined)
  }

  static async start(count: number, env: Readonly<Record<string, string>>): Promise<Nodes> {
    const nodes = new Nodes(count, env)
    for (let node = 0; node < count; node++) await nodes.#start(node)
    nodes.#began = performance.now()
    return nodes
  }

  get urls(): ReadonlyArray<string> {
    return this.#servers.flatMap((server) => (server === undefined ? [] : [server.url]))
  }

  /** What the nodes have logged. */
  readonly output = (): string => this.#servers.map((server) => server?.output() ?? "").join("")

  /** Stops and starts each node. New connections go to the others meanwhile. */
  async restart(): Promise<void> {
    for (const node of this.#servers.keys()) {
      await this.#stop(node)
      await this.#start(node)
      await pause(1_000)
    }
  }

  async sample(): Promise<void> {
    for (const [node, server] of this.#servers.entries()) {
      const response =
        server &&
        (await fetch(`${server.url}/metrics`, { signal: AbortSignal.timeout(patienceMillis) }).catch(() => undefined))
      const text = (await response?.text().catch(() => undefined)) ?? ""
      if (server === undefined || text === "") continue
      const figure = (pattern: RegExp) => Number(pattern.exec(text)?.[1] ?? Number.NaN)
      const captures = figure(/^spillway_bulkhead_active\{[^}]*bulkhead="captures"[^}]*\} (\S+)/m)
      this.samples.push({
        at: (performance.now() - this.#began) / 1000,
        node,
        pid: server.pid,
        captures,
        rssMB: figure(/^process_resident_memory_bytes (\S+)/m) / 1e6,
        heapMB: figure(/^nodejs_heap_size_used_bytes (\S+)/m) / 1e6,
        externalMB: figure(/^nodejs_external_memory_bytes (\S+)/m) / 1e6,
        descriptors: fs.readdirSync(`/proc/${server.pid}/fd`).length - captures,
        resources: figure(/^nodejs_active_resources (\S+)/m) - perCapture * captures,
        loopMeanMs: figure(/^nodejs_eventloop_lag_mean_seconds (\S+)/m) * 1000,
        loopMaxMs: figure(/^nodejs_eventloop_lag_max_seconds (\S+)/m) * 1000,
        journalMB: figure(/^spillway_journal_bytes (\S+)/m) / 1e6
      })
    }
  }

  async stop(): Promise<void> {
    for (const node of this.#servers.keys()) await this.#stop(node)
  }

  remove(): void {
    for (const directory of this.#directories)
      fs.rmSync(path.dirname(directory), { recursive: true, force: true, maxRetries: 20 })
  }

  async kill(): Promise<void> {
    for (const server of this.#servers) await server?.kill()
  }

  async #start(node: number): Promise<void> {
    this.#servers[node] = await startServer(this.#directories[node] ?? "", this.#env)
  }

  async #stop(node: number): Promise<void> {
    const server = this.#servers[node]
    this.#servers[node] = undefined
    if (server === undefined) return
    const began = performance.now()
    const code = await server.stop()
    this.stops.push({ node, code, seconds: (performance.now() - began) / 1000 })
  }
}
