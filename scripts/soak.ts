/**
 * `npm run soak -- [MINUTES] [CAPTURES] [SEED]`: two servers record 500 captures for an hour, with reconnections, outages of
 * the store and rolling restarts. Prints and writes what becomes of memory, handles and audio. Exit code 1: a figure
 * grows, or audio is lost, doubled or different.
 */
import * as fs from "node:fs"
import * as path from "node:path"
import { draw } from "../bench/Curves.ts"
import * as Measurement from "../bench/Measurement.ts"
import { startBucket } from "../bench/outage/BucketProcess.ts"
import * as Results from "../bench/Results.ts"
import { startBalancer } from "../test/support/Balancer.ts"
import { random } from "../test/support/Crash.ts"
import { startPostgres } from "../test/support/PostgresServer.ts"
import { dataDirectory } from "../test/support/Server.ts"
import { compare } from "./Soak/Comparison.ts"
import { Device, fill, frameMillis } from "./Soak/Devices.ts"
import { type NodeSample, Nodes } from "./Soak/Nodes.ts"
import { trendOf } from "./Soak/Trend.ts"

const [minutes = 60, captures = 500, seed = Date.now() % 1_000_000] = process.argv.slice(2).map(Number)
const seconds = minutes * 60
const key = `spw_${"k".repeat(43)}`
const bucket = "bench"
const sampleMillis = 5_000

/** What happens when, in parts of the whole time. Figures are judged between the restarts. */
const restarts = [0.12, 0.93]
const judged: readonly [number, number] = [0.25, 0.92]
const outages = [
  { from: 0.3, to: 0.34, how: "refuse" },
  { from: 0.5, to: 0.54, how: "hang" },
  { from: 0.7, to: 0.74, how: "refuse" }
] as const

/** Seconds between two cuts of the connection of one capture, on average. */
const cutEvery = Math.min(180, seconds / 5)

/** A capture that reconnects to the other node sends the same audio again, and the node compares it with what is stored. */
const storedSeconds = 300

/** Allowed growth while figures are judged: part of the median, and handles. */
const maxGrowth = 0.1
const maxHandles = 15
const maxStopSeconds = 35

const round = (value: number) => Measurement.round(value, 1)

/** Trends of a process that lived all of the judged time. */
const judge = (samples: ReadonlyArray<NodeSample>) => {
  const of = (figure: (sample: NodeSample) => number) => {
    const { growth, median, perHour } = trendOf(samples.map((sample) => ({ at: sample.at, value: figure(sample) })))
    return { median: round(median), growth: round(growth), perHour: round(perHour) }
  }
  const first = samples[0]
  return {
    node: first?.node,
    minutes: round(((samples.at(-1)?.at ?? 0) - (first?.at ?? 0)) / 60),
    rssMB: of(({ rssMB }) => rssMB),
    heapMB: of(({ heapMB }) => heapMB),
    descriptors: of(({ descriptors }) => descriptors),
    resources: of(({ resources }) => resources),
    loopMeanMs: of(({ loopMeanMs }) => loopMeanMs).median,
    loopMaxMs: round(Math.max(...samples.map(({ loopMaxMs }) => loopMaxMs)))
  }
}

const next = random(seed)
fill(next)
console.log(`${minutes} minutes, ${captures} captures, seed ${seed}`)
const databaseDir = dataDirectory()
const [database, store] = [await startPostgres(databaseDir), await startBucket(storedSeconds)]
const nodes = await Nodes.start(2, {
  DATABASE_URL: database.url,
  SPILLWAY_BUCKET: bucket,
  SPILLWAY_GCS_ENDPOINT: store.url,
  SPILLWAY_ADMIN_KEY: key,
  SPILLWAY_LOG_LEVEL: "Error",
  // The bucket checks what is uploaded and forgets it, so there is nothing to merge.
  SPILLWAY_PRECACHE: "requested"
})
const balancer = await startBalancer(() => nodes.urls)
const wrong: Array<string> = []
const interrupted = () => process.exit(130)
process.once("SIGINT", interrupted)
process.once("SIGTERM", interrupted)
process.once("exit", () => {
  store.stop()
  nodes.remove()
})
try {
  const devices: Array<Device> = []
  const began = performance.now()
  const elapsed = () => (performance.now() - began) / 1000
  const sending = setInterval(() => {
    const joined = Math.min(captures, Math.ceil((elapsed() / Math.min(60, seconds / 10)) * captures))
    while (devices.length < joined) devices.push(new Device(devices.length, { url: balancer.url, key }, next))
    for (const device of devices) device.send()
  }, frameMillis / 4)
  const cutting = setInterval(() => balancer.cut(next()), (cutEvery * 1000) / captures)
  const until = (part: number) => Measurement.pause(Math.max(0, part * seconds - elapsed()) * 1000)
  const events = [
    ...restarts.map((at) => ({ at, run: () => nodes.restart() })),
    ...outages.flatMap(({ from, how, to }) => [
      { at: from, run: () => Promise.resolve(store.become(how)) },
      { at: to, run: () => Promise.resolve(store.become("work")) }
    ])
  ].toSorted((a, b) => a.at - b.at)
  const happening = (async () => {
    for (const { at, run } of events) {
      await until(at)
      await run()
    }
  })()
  let printed = 0
  while (elapsed() < seconds) {
    await Measurement.pause(sampleMillis)
    await nodes.sample()
    if (elapsed() < printed) continue
    printed = elapsed() + Math.min(60, seconds / 10)
    const unacknowledged = devices.reduce((sum, device) => sum + device.unacknowledged, 0)
    const latest = nodes.samples
      .slice(-2)
      .map(({ captures, descriptors, journalMB, node, resources, rssMB }) => [
        `node ${node}: ${captures} captures, ${round(rssMB)} MB, ${descriptors} descriptors, ${resources} resources`,
        `journal ${round(journalMB)} MB`
      ])
    const states = [...Map.groupBy(devices, ({ state }) => state)].map(([state, { length }]) => `${length} ${state}`)
    console.log(`${Math.round(elapsed())} s: ${latest.flat().join(", ")}, ${unacknowledged} bytes unacknowledged`)
    console.log(`  devices: ${states.join(", ")}`)
  }
  await happening
  clearInterval(cutting)
  clearInterval(sending)
  const ends = await Promise.all(devices.map((device) => device.stop()))
  // A stop waits for uploads; what another node has left is uploaded at its start.
  await nodes.restart()
  await nodes.stop()

  const audio = await compare(database, devices)
  const rejectedFrames = devices.reduce((sum, { rejected }) => sum + rejected, 0)
  const [from, to] = [judged[0] * seconds, judged[1] * seconds]
  const inTime = nodes.samples.filter(({ at }) => at >= from && at <= to)
  const processes = [...Map.groupBy(inTime, ({ pid }) => pid).values()].filter((samples) => samples.length > 2)
  const trends = processes.map(judge)
  const complain = (isWrong: boolean, complaint: string) => void (isWrong ? wrong.push(complaint) : undefined)
  complain(trends.length === 0, "no process lived long enough to be judged")
  for (const { descriptors, node, resources, rssMB } of trends) {
    complain(rssMB.growth > maxGrowth * rssMB.median, `node ${node}: RSS grew by ${rssMB.growth} MB`)
    complain(descriptors.growth > maxHandles, `node ${node}: ${descriptors.growth} more file descriptors`)
    complain(!(resources.growth <= maxHandles), `node ${node}: ${resources.growth} more active resources`)
  }
  complain(audio.missing + audio.different > 0 || audio.sentSamples === 0, "audio is missing or different")
  complain(audio.doubled > 0, `${audio.doubled} samples are played twice`)
  complain(rejectedFrames > 0, `${rejectedFrames} frames found no room in their client`)
  for (const end of new Set(ends)) complain(end !== "complete", `a capture ended with ${end}`)
  for (const { code, node, seconds } of nodes.stops)
    complain(code !== 0 || seconds > maxStopSeconds, `node ${node} stopped with ${code} after ${round(seconds)} s`)
  complain(/"level":"(ERROR|FATAL)"/i.test(nodes.output()), "a node has logged an error")

  const rounded = (sample: NodeSample) =>
    Object.fromEntries(Object.entries(sample).map(([name, value]) => [name, Math.round(value * 100) / 100]))
  Results.writeTable("soak.csv", nodes.samples.map(rounded))
  const curves = [...Map.groupBy(nodes.samples, ({ node }) => `node ${node}`)].map(([name, samples]) => ({
    name,
    points: samples.map(({ at, rssMB }) => ({ x: at / 60, y: rssMB }))
  }))
  Results.write("soak-rss.svg", draw({ title: "Resident memory", x: "minutes", y: "MB", curves }))
  const summary = {
    soak: { minutes, captures, seed },
    wrong,
    trends,
    stops: nodes.stops.map((stop) => ({ ...stop, seconds: round(stop.seconds) })),
    audio
  }
  Results.write("soak.json", `${JSON.stringify(summary, undefined, 2)}\n`)
  console.log(JSON.stringify(summary))
} finally {
  await balancer.stop()
  await nodes.kill()
  nodes.remove()
  store.stop()
  await database.stop()
  fs.rmSync(path.dirname(databaseDir), { recursive: true, force: true, maxRetries: 20 })
}
process.exitCode = wrong.length > 0 ? 1 : 0
