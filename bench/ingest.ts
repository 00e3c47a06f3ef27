/**
 * Captures that one server process on one core sustains, next to a raw `ws` server that only counts bytes, in the same run.
 * The server is pinned to one core; its PostgreSQL and the load have the other. Uploads go to the disk store. With `--cold` the
 * page cache loses the journal once a second, so that chunks are read back from the disk.
 */
import { spawn } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { dataDirectory, startServer } from "../test/support/Server.ts"
import { descendants, otherCore, pin, runLoad, serverCore } from "./ingest/Cores.ts"
import type { LoadOptions, LoadResult } from "./ingest/Load.ts"
import { keepCold, type Waits, watchLoop } from "./ingest/Loop.ts"
import { cpuSeconds, median, pause, rssMB } from "./playback/Listening.ts"

interface Level {
  readonly captures: number
  readonly cpu: number
  readonly rssMB: number
  readonly baseMB: number
  readonly load: LoadResult
  readonly storedChunks: number
  /** Latency of the server's liveness check meanwhile, milliseconds. */
  readonly live: Waits
}

/** Seconds over which RSS is sampled: it varies by the uploads in progress. */
const rssSamples = 20

/** One level on a running server: CPU over the steady part, RSS as the median of its last seconds. */
const measure = async (
  pid: number,
  shape: Omit<LoadOptions, "port" | "key">,
  target: { readonly port: number; readonly key: string },
  storedChunks: () => Promise<number>
): Promise<Omit<Level, "live">> => {
  const baseMB = rssMB(pid)
  const running = runLoad({ ...shape, ...target })
  await pause(shape.rampSeconds * 1000)
  const [cpuBefore, began] = [cpuSeconds(pid), performance.now()]
  const samples = Math.min(rssSamples, shape.seconds - 1)
  await pause((shape.seconds - samples) * 1000 - 500)
  const rss: Array<number> = []
  while (rss.length < samples) {
    await pause(1_000)
    rss.push(rssMB(pid))
  }
  const cpu = (cpuSeconds(pid) - cpuBefore) / ((performance.now() - began) / 1000)
  const level = median(rss)
  const load = await running
  return { captures: shape.captures, cpu, rssMB: level, baseMB, load, storedChunks: await storedChunks() }
}

const ours = async (
  shape: Omit<LoadOptions, "port" | "key">,
  env: Readonly<Record<string, string>>,
  isCold: boolean
): Promise<Level> => {
  const dataDir = dataDirectory()
  const server = await startServer(dataDir, { SPILLWAY_LOG_LEVEL: "Warn", ...env })
  try {
    for (const child of descendants(server.pid)) pin(child, otherCore)
    pin(server.pid, serverCore)
    await pause(1_000)
    const waits = watchLoop(server.url)
    const warm = isCold ? keepCold(path.join(dataDir, "journal")) : async () => {}
    const target = { port: Number(new URL(server.url).port), key: server.key }
    const level = await measure(server.pid, shape, target, async () => {
      const text = await (await fetch(`${server.url}/metrics`)).text()
      return Number(/^spillway_upload_chunks_total (\S+)/m.exec(text)?.[1] ?? 0)
    })
    await warm()
    return { ...level, live: await waits() }
  } finally {
    await server.kill()
    fs.rmSync(path.dirname(dataDir), { recursive: true, force: true })
  }
}

const raw = async (shape: Omit<LoadOptions, "port" | "key">): Promise<Level> => {
  const child = spawn(process.execPath, [path.join(import.meta.dirname, "ingest/RawServer.ts")], {
    stdio: ["ignore", "pipe", "inherit"]
  })
  try {
    const port = await new Promise<number>((resolve) =>
      child.stdout.once("data", (data: Buffer) => resolve(JSON.parse(data.toString()).port))
    )
    const pid = child.pid ?? 0
    pin(pid, serverCore)
    return { ...(await measure(pid, shape, { port, key: "none" }, async () => 0)), live: { p50: 0, p99: 0, max: 0 } }
  } finally {
    child.kill("SIGKILL")
  }
}

const row = (name: string, level: Level) =>
  [
    name.padEnd(9),
    String(level.captures).padStart(8),
    `${(level.cpu * 100).toFixed(0)} %`.padStart(7),
    (((level.rssMB - level.baseMB) * 1024) / level.captures).toFixed(0).padStart(11),
    level.load.ackMillis.p50.toFixed(0).padStart(8),
    level.load.ackMillis.p99.toFixed(0).padStart(8),
    String(level.load.broken).padStart(7),
    ((level.load.sentBytes - level.load.acknowledgedBytes) / 1024).toFixed(0).padStart(12),
    String(level.storedChunks).padStart(7),
    level.live.p99.toFixed(0).padStart(8),
    level.live.max.toFixed(0).padStart(8),
    `${((level.load.lateFrames / Math.max(1, level.load.frames)) * 100).toFixed(1)} %`.padStart(7)
  ].join(" ")

/** No failures, and everything acknowledged in time. */
const sustained = ({ load }: Level) =>
  load.broken === 0 && load.sentBytes === load.acknowledgedBytes && load.ackMillis.p99 <= 2_000

export const run = async (args: ReadonlyArray<string>): Promise<void> => {
  const quick = args.includes("--quick")
  const given = args.filter((arg) => /^\d+$/.test(arg)).map(Number)
  const levels = given.length > 0 ? given : quick ? [200] : [1_000, 1_500, 2_000, 2_500]
  const shape = { sampleRate: 16_000, frameMillis: 100, rampSeconds: quick ? 3 : 20, seconds: quick ? 12 : 70 }
  // A quick run is shorter than a chunk: smaller ones, so that uploads are part of it.
  const env = { SPILLWAY_CAPTURES: "10000", ...(quick ? { SPILLWAY_CHUNK_DURATION: "5 seconds" } : {}) }
  console.log(
    "server    captures     CPU KB/capture  ack p50  ack p99  broken  unacked KB  chunks live p99 live max    late\n" +
      "                            above base       ms       ms          at the end  stored       ms       ms  frames"
  )
  const results: Array<{ ours: Level; raw: Level }> = []
  for (const captures of levels) {
    const peer = await raw({ ...shape, captures })
    console.log(row("raw ws", peer))
    const level = await ours({ ...shape, captures }, env, args.includes("--cold"))
    console.log(row("spillway", level))
    results.push({ ours: level, raw: peer })
    if (!sustained(level)) break
  }
  const best = results.findLast((result) => sustained(result.ours))
  const figures = best ?? results.at(-1)
  if (figures === undefined) return
  console.log(
    JSON.stringify({
      bench: "ingest",
      captures: best?.ours.captures ?? 0,
      cpu: Number(figures.ours.cpu.toFixed(3)),
      rssPerCaptureKB: Math.round(((figures.ours.rssMB - figures.ours.baseMB) * 1024) / figures.ours.captures),
      ackP99Ms: Math.round(figures.ours.load.ackMillis.p99),
      // At the same load the ratio of CPU times is the ratio of what one core would carry.
      vsRawWs: Number(median(results.map((result) => result.raw.cpu / result.ours.cpu)).toFixed(3)),
      levels: results.map(({ ours, raw }) => ({
        captures: ours.captures,
        sustained: sustained(ours),
        cpu: ours.cpu,
        rawCpu: raw.cpu,
        ackP50Ms: ours.load.ackMillis.p50,
        ackP99Ms: ours.load.ackMillis.p99,
        storedChunks: ours.storedChunks,
        liveP99Ms: ours.live.p99,
        liveMaxMs: ours.live.max,
        lateFrames: ours.load.lateFrames
      }))
    })
  )
}
