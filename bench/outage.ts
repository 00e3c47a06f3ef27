/**
 * The object store fails while captures record: how memory grows, what is lost, and how long the backlog takes afterwards. The
 * server has one core; its PostgreSQL, the bucket and the load have the other. `--hang`: the store takes requests and never
 * answers, instead of refusing them with 503.
 */
import * as fs from "node:fs"
import * as path from "node:path"
import { dataDirectory, type Server, startServer } from "../test/support/Server.ts"
import { draw } from "./Curves.ts"
import { descendants, otherCore, pin, runLoad, serverCore } from "./ingest/Cores.ts"
import { cpuSeconds, median, metric, pause, round, rssMB } from "./Measurement.ts"
import { startBucket } from "./outage/BucketProcess.ts"
import * as Results from "./Results.ts"

const sampleRate = 16_000
const bytesPerSecond = sampleRate * 2

interface Sample {
  readonly second: number
  readonly state: "before" | "outage" | "after"
  readonly rssMB: number
  readonly journalMB: number
  readonly cpu: number
}

/** Seconds of audio that the database has of all users of the load. */
const recordedSeconds = async (server: Server, captures: number) => {
  let seconds = 0
  for (let index = 0; index < captures; index++) {
    const url = `${server.url}/v1/conversations?uid=bench-${index}`
    const found = await (await fetch(url, { headers: { authorization: `Bearer ${server.key}` } })).text()
    for (const [, captured] of found.matchAll(/"captured_duration":([\d.]+)/g)) seconds += Number(captured)
  }
  return seconds
}

/** One curve for each state. */
const drawingOf = (samples: ReadonlyArray<Sample>, title: string, megabytes: (sample: Sample) => number) => {
  const curves = [...Map.groupBy(samples, ({ state }) => state)].map(([state, inState]) => ({
    name: state === "outage" ? "store away" : state,
    points: inState.map((sample) => ({ x: sample.second, y: megabytes(sample) }))
  }))
  return draw({ title, x: "seconds", y: "MB", curves })
}

const writeResults = (samples: ReadonlyArray<Sample>) => {
  const rounded = samples.map((sample) => ({
    second: sample.second,
    state: sample.state,
    rssMB: round(sample.rssMB, 1),
    journalMB: round(sample.journalMB, 1),
    cpu: round(sample.cpu, 2)
  }))
  Results.writeTable("outage.csv", rounded)
  Results.write(
    "outage-rss.svg",
    drawingOf(samples, "Resident memory", ({ rssMB }) => rssMB)
  )
  Results.write(
    "outage-journal.svg",
    drawingOf(samples, "Journal", ({ journalMB }) => journalMB)
  )
}

export const run = async (args: ReadonlyArray<string>): Promise<void> => {
  const quick = args.includes("--quick")
  const [captures, before, outage] = quick ? [100, 30, 60] : [500, 300, 600]
  const after = outage * 2
  const dataDir = dataDirectory()
  const bucket = await startBucket(1, { core: otherCore })
  const server = await startServer(dataDir, {
    SPILLWAY_LOG_LEVEL: "Error",
    SPILLWAY_CAPTURES: "10000",
    // Ten minutes of 500 captures are as much as the default, beyond which the oldest audio is given up.
    SPILLWAY_JOURNAL_BYTES: "20 GiB",
    SPILLWAY_GCS_ENDPOINT: bucket.url,
    SPILLWAY_BUCKET: "bench",
    ...(quick ? { SPILLWAY_CHUNK_DURATION: "10 seconds" } : {})
  })
  const samples: Array<Sample> = []
  try {
    for (const child of descendants(server.pid)) pin(child, otherCore)
    pin(server.pid, serverCore)
    const rampSeconds = quick ? 5 : 20
    const load = runLoad({
      protocol: "capture",
      port: Number(new URL(server.url).port),
      key: server.key,
      captures,
      sampleRate,
      frameMillis: 100,
      rampSeconds,
      seconds: before + outage + after
    })
    await pause(rampSeconds * 1_000)
    const began = performance.now()
    const sampleUntil = async (state: Sample["state"], isOver: () => boolean) => {
      while (!isOver()) {
        const [cpu, at] = [cpuSeconds(server.pid), performance.now()]
        await pause(1_000)
        samples.push({
          second: Math.round((performance.now() - began) / 1_000),
          state,
          rssMB: rssMB(server.pid),
          journalMB: (await metric(server, /^spillway_journal_bytes (\S+)/m)) / 1e6,
          cpu: (cpuSeconds(server.pid) - cpu) / ((performance.now() - at) / 1_000)
        })
      }
    }
    const untilSecond = (second: number) => () => performance.now() - began > second * 1_000
    const of = (state: Sample["state"], figure: "rssMB" | "journalMB") =>
      samples.filter((sample) => sample.state === state).map((sample) => sample[figure])

    await sampleUntil("before", untilSecond(before))
    bucket.become(args.includes("--hang") ? "hang" : "refuse")
    await sampleUntil("outage", untilSecond(before + outage))
    bucket.become("work")
    const [level, restored] = [Math.max(...of("before", "journalMB")), performance.now()]
    let drainSeconds = Number.NaN
    await sampleUntil("after", () => {
      const isDrained = (samples.at(-1)?.journalMB ?? Infinity) <= level * 1.1
      if (isDrained && Number.isNaN(drainSeconds)) drainSeconds = (performance.now() - restored) / 1_000
      return untilSecond(before + outage + after)()
    })
    const { acknowledgedBytes, ackMillis, broken, sentBytes } = await load
    let recorded = 0
    for (let tries = 0; tries < 60 && recorded * bytesPerSecond < sentBytes; tries++) {
      recorded = await recordedSeconds(server, captures)
      await pause(1_000)
    }

    // The second half of each phase: captures that have just begun, and an outage that has just begun, still grow.
    const half = (values: ReadonlyArray<number>) => values.slice(Math.floor(values.length / 2))
    const rssBefore = median(half(of("before", "rssMB")))
    const rssOutage = median(half(of("outage", "rssMB")))
    if (!quick) writeResults(samples)
    console.log(`${captures} captures, the store away for ${outage} s:`)
    console.log(`  RSS ${round(rssBefore, 0)} MB before, ${round(rssOutage, 0)} MB in the second half of the outage`)
    console.log(
      `  journal ${round(level, 0)} MB before, ${round(Math.max(...of("outage", "journalMB")), 0)} MB at most`
    )
    console.log(
      Number.isNaN(drainSeconds)
        ? `  not drained to the size of before within ${after} s: stored audio stays in the journal for a minute`
        : `  drained ${round(drainSeconds, 0)} s after the store was back`
    )
    console.log(`  acknowledgements ${round(ackMillis.p50, 0)} ms at p50, ${round(ackMillis.p99, 0)} ms at p99`)
    console.log(
      JSON.stringify({
        bench: "outage",
        rssGrowth: round(rssOutage / rssBefore),
        lostSamples: Math.round(Math.max(0, sentBytes / 2 - recorded * sampleRate)),
        givenUpSeconds: await metric(server, /^spillway_lost_seconds_total (\S+)/m),
        drainRatio: round(drainSeconds / outage),
        captures,
        outageSeconds: outage,
        broken,
        unacknowledgedBytes: sentBytes - acknowledgedBytes,
        ackP99Ms: round(ackMillis.p99, 0),
        peakJournalMB: round(Math.max(...of("outage", "journalMB")), 0)
      })
    )
  } finally {
    await server.kill()
    bucket.stop()
    fs.rmSync(path.dirname(dataDir), { recursive: true, force: true, maxRetries: 20 })
  }
}
