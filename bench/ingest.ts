/**
 * Captures that one server process on one core sustains, next to peers in the same run: a raw `ws` server that only counts bytes,
 * a model of omi's pusher, and `@durable-streams/server` with the same frames as appends. The server is pinned to one core; its
 * PostgreSQL and the load have the other. Uploads go to the disk store. With `--cold` the page cache loses the journal once a
 * second, so that chunks are read back from the disk. Numbers are levels of captures; `--seconds=N` shortens each.
 */
import { spawn } from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { dataDirectory, startServer } from "../test/support/Server.ts"
import { draw } from "./Curves.ts"
import { descendants, otherCore, pin, runLoad, serverCore } from "./ingest/Cores.ts"
import type { LoadOptions, LoadResult } from "./ingest/Load.ts"
import { keepCold, type Waits, watchLoop } from "./ingest/Loop.ts"
import { cpuSeconds, median, metric, pause, rssMB } from "./Measurement.ts"
import * as Results from "./Results.ts"

interface Level {
  readonly server: string
  readonly captures: number
  readonly cpu: number
  readonly rssMB: number
  readonly baseMB: number
  readonly load: LoadResult
  readonly storedChunks: number
  /** Latency of the server's liveness check meanwhile, milliseconds. */
  readonly live: Waits
}

type Shape = Omit<LoadOptions, "port" | "key" | "protocol">

/** Seconds over which RSS is sampled: it varies by the uploads in progress. */
const rssSamples = 20

/** One level on a running server: CPU over the steady part, RSS as the median of its last seconds. */
const measure = async (
  pid: number,
  shape: Omit<LoadOptions, "port" | "key">,
  target: { readonly port: number; readonly key: string },
  storedChunks: () => Promise<number>
): Promise<Omit<Level, "server" | "live">> => {
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
      return metric(server, /^spillway_upload_chunks_total (\S+)/m)
    })
    await warm()
    return { ...level, server: "spillway", live: await waits() }
  } finally {
    await server.kill()
    fs.rmSync(path.dirname(dataDir), { recursive: true, force: true, maxRetries: 20 })
  }
}

interface Peer {
  readonly name: string
  readonly script: string
  readonly protocol: LoadOptions["protocol"]
  readonly acknowledges: boolean
}

const peers: ReadonlyArray<Peer> = [
  { name: "raw ws", script: "RawServer.ts", protocol: "capture", acknowledges: false },
  { name: "omi loop", script: "SeedServer.ts", protocol: "capture", acknowledges: false },
  { name: "streams", script: "StreamsServer.ts", protocol: "appends", acknowledges: true }
]

const none = { p50: Number.NaN, p99: Number.NaN, max: Number.NaN }

const ofPeer = async ({ acknowledges, name, protocol, script }: Peer, shape: Shape, chunk: number): Promise<Level> => {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), "spillway-peer-"))
  const child = spawn(process.execPath, [path.join(import.meta.dirname, "ingest", script), directory, String(chunk)], {
    stdio: ["ignore", "pipe", "inherit"]
  })
  try {
    const port = await new Promise<number>((resolve, reject) => {
      let output = ""
      child.stdout.setEncoding("utf8").on("data", (text: string) => {
        output += text
        const found = /\{"port":(\d+)\}/.exec(output)?.[1]
        if (found !== undefined) resolve(Number(found))
      })
      child.once("exit", (code) => reject(new Error(`${name} ended with ${code}`)))
    })
    const pid = child.pid ?? 0
    pin(pid, serverCore)
    const level = await measure(pid, { ...shape, protocol }, { port, key: "none" }, async () => 0)
    const load = acknowledges ? level.load : { ...level.load, ackMillis: { ...none, count: 0 }, acknowledgedBytes: 0 }
    return { ...level, server: name, load, live: none }
  } finally {
    child.kill("SIGKILL")
    fs.rmSync(directory, { recursive: true, force: true, maxRetries: 20 })
  }
}

const millis = (value: number) => (Number.isNaN(value) ? "" : value.toFixed(0))

const rssPerCaptureKB = ({ baseMB, captures, rssMB }: Level) => ((rssMB - baseMB) * 1024) / captures

const row = (level: Level) =>
  [
    level.server.padEnd(9),
    String(level.captures).padStart(8),
    `${(level.cpu * 100).toFixed(0)} %`.padStart(7),
    rssPerCaptureKB(level).toFixed(0).padStart(11),
    millis(level.load.ackMillis.p50).padStart(8),
    millis(level.load.ackMillis.p99).padStart(8),
    String(level.load.broken).padStart(7),
    ((level.load.sentBytes - level.load.acknowledgedBytes) / 1024).toFixed(0).padStart(12),
    String(level.storedChunks).padStart(7),
    millis(level.live.p99).padStart(8),
    millis(level.live.max).padStart(8),
    `${((level.load.lateFrames / Math.max(1, level.load.frames)) * 100).toFixed(1)} %`.padStart(7)
  ].join(" ")

/** No failures, and everything acknowledged in time. A server without acknowledgements only has to stay connected. */
const sustained = ({ load }: Level) =>
  load.broken === 0 &&
  (Number.isNaN(load.ackMillis.p99) || (load.sentBytes === load.acknowledgedBytes && load.ackMillis.p99 <= 2_000))

const figuresOf = (level: Level) => ({
  server: level.server,
  captures: level.captures,
  sustained: sustained(level),
  cpu: Number(level.cpu.toFixed(3)),
  rssMB: Math.round(level.rssMB),
  rssPerCaptureKB: Math.round(rssPerCaptureKB(level)),
  ackP50Ms: Number(level.load.ackMillis.p50.toFixed(0)),
  ackP99Ms: Number(level.load.ackMillis.p99.toFixed(0)),
  broken: level.load.broken,
  lateFrames: level.load.lateFrames,
  storedChunks: level.storedChunks,
  liveP99Ms: Number(level.live.p99.toFixed(0)),
  liveMaxMs: Number(level.live.max.toFixed(0))
})

type Figures = ReturnType<typeof figuresOf>

const curvesOf = (figures: ReadonlyArray<Figures>, of: (each: Figures) => number) =>
  [...new Set(figures.map(({ server }) => server))].map((name) => ({
    name,
    points: figures.flatMap((each) => (each.server === name ? [{ x: each.captures, y: of(each) }] : []))
  }))

const writeResults = (figures: ReadonlyArray<Figures>) => {
  Results.writeTable("ingest.csv", figures)
  const x = "captures, of which each sends 16 kHz PCM16 in frames of 100 ms"
  const rss = curvesOf(figures, ({ rssMB }) => rssMB)
  Results.write("ingest-rss.svg", draw({ title: "Resident memory", x, y: "MB", curves: rss }))
  const acks = curvesOf(figures, ({ ackP99Ms }) => ackP99Ms).filter(({ points }) => points.some(({ y }) => y >= 0))
  Results.write("ingest-ack.svg", draw({ title: "99th percentile of acknowledgements", x, y: "ms", curves: acks }))
}

export const run = async (args: ReadonlyArray<string>): Promise<void> => {
  const quick = args.includes("--quick")
  const given = args.filter((arg) => /^\d+$/.test(arg)).map(Number)
  const seconds = args.flatMap((arg) => /^--seconds=(\d+)$/.exec(arg)?.[1] ?? []).map(Number)[0]
  const levels = given.length > 0 ? given : quick ? [200] : [1_000, 1_500, 2_000, 2_500]
  const isShort = quick || seconds !== undefined
  const shape = {
    sampleRate: 16_000,
    frameMillis: 100,
    rampSeconds: quick ? 3 : isShort ? 10 : 20,
    seconds: seconds ?? (quick ? 12 : 70)
  }
  // A short run is shorter than a chunk: smaller ones, so that uploads are part of it.
  const chunkSeconds = isShort ? 5 : 60
  const env = { SPILLWAY_CAPTURES: "10000", ...(isShort ? { SPILLWAY_CHUNK_DURATION: `${chunkSeconds} seconds` } : {}) }
  console.log(
    "server    captures     CPU KB/capture  ack p50  ack p99  broken  unacked KB  chunks live p99 live max    late\n" +
      "                            above base       ms       ms          at the end  stored       ms       ms  frames"
  )
  const results: Array<Level> = []
  const add = (level: Level) => {
    console.log(row(level))
    results.push(level)
  }
  const hasFailed = (name: string) => results.some((level) => level.server === name && !sustained(level))
  for (const captures of levels) {
    for (const peer of peers) if (!hasFailed(peer.name)) add(await ofPeer(peer, { ...shape, captures }, chunkSeconds))
    const shapeOfOurs = { ...shape, captures, protocol: "capture" as const }
    add(await ours(shapeOfOurs, env, args.includes("--cold")))
    if (hasFailed("spillway")) break
  }
  const of = (name: string) => results.filter(({ server }) => server === name)
  const best = of("spillway").findLast(sustained)
  const figures = best ?? of("spillway").at(-1)
  if (figures === undefined) return
  if (!quick) writeResults(results.map(figuresOf))
  const ratios = of("spillway").flatMap((level) =>
    of("raw ws").flatMap((raw) => (raw.captures === level.captures ? [raw.cpu / level.cpu] : []))
  )
  console.log(
    JSON.stringify({
      bench: "ingest",
      captures: best?.captures ?? 0,
      cpu: Number(figures.cpu.toFixed(3)),
      rssPerCaptureKB: Math.round(rssPerCaptureKB(figures)),
      ackP99Ms: Math.round(figures.load.ackMillis.p99),
      // At the same load the ratio of CPU times is the ratio of what one core would carry.
      vsRawWs: Number(median(ratios).toFixed(3)),
      levels: results.map(figuresOf)
    })
  )
}
