/** Kills a server, its PostgreSQL and its store at random instants while devices record, and compares what they play back. */
import { startBalancer } from "../Balancer.ts"
import { random } from "../Crash.ts"
import { Device } from "./Device.ts"
import { compareWithPlayed, type Playback } from "./Played.ts"
import { type Victim, Victims } from "./Victims.ts"

export interface FaultReport extends Playback {
  readonly kills: Victims["kills"]
  readonly connections: number
  readonly seconds: number
  readonly storedSamples: number
  /** What has ended otherwise than it should. */
  readonly failed: ReadonlyArray<string>
  readonly lost: number
}

/** Small bounds, so that a few seconds cover many commits, chunks, uploads and deleted segments. */
const smallBounds = {
  SPILLWAY_CHUNK_DURATION: "1500 millis",
  SPILLWAY_COMMIT_INTERVAL: "60 millis",
  SEGMENT_BYTES: "300 KiB",
  SWEEP_INTERVAL: "1 second",
  SPILLWAY_PRECACHE: "requested",
  SPILLWAY_LOG_LEVEL: "Warn"
}

/** What happens next, and how often. */
const faults: ReadonlyArray<readonly [Victim | "pause", number]> = [
  ["server", 0.55],
  ["database", 0.2],
  ["store", 0.15],
  ["pause", 0.1]
]

const wait = (millis: number) => new Promise((resolve) => setTimeout(resolve, millis))

const draw = (next: () => number): Victim | "pause" => {
  let left = next()
  return faults.find(([, share]) => (left -= share) < 0)?.[0] ?? "server"
}

export const faultComplaints = (report: FaultReport): ReadonlyArray<string> => [
  ...report.different,
  ...report.failed,
  ...(report.storedSamples === report.sentSamples ? [] : ["the rows count another number of samples than was sent"]),
  ...(report.lost > 0 ? [`${report.lost} spans are recorded as lost`] : [])
]

export const crashWithFaults = async (options: {
  readonly kills: number
  readonly seed: number
  readonly devices?: number
}): Promise<FaultReport> => {
  const { kills } = options
  const next = random(options.seed)
  const began = performance.now()
  const key = `spw_${"c".repeat(43)}`
  const victims = new Victims({ ...smallBounds, SPILLWAY_ADMIN_KEY: key })
  const balancer = await startBalancer(() => (victims.url === undefined ? [] : [victims.url]))
  const failed: Array<string> = []
  try {
    await victims.start()
    const devices = Array.from(
      { length: options.devices ?? 4 },
      (_, index) => new Device({ uid: `device-${index}`, url: balancer.url, key, next })
    )
    let isOver = false
    const streaming = Promise.all(devices.map((device) => device.stream(() => isOver, 1.5)))
    streaming.catch(() => {})
    const ongoing: Array<Promise<void>> = []
    for (let kill = 1; kill <= kills; kill++) {
      await wait(30 + next() * 900)
      const victim = draw(next)
      // The server starts only with its database, and both may be away at once with the store.
      if (victim === "pause") ongoing.push(victims.stopStore(next() * 4_000))
      else if (victim === "store") {
        await Promise.all(ongoing.splice(0))
        ongoing.push(victims.kill("store", next() * 4_000))
      } else await victims.kill(victim, next() * 500)
    }
    isOver = true
    await streaming
    await Promise.all(ongoing)
    for (const end of await Promise.all(devices.map((device) => device.close())))
      if (end !== "complete") failed.push(`a device ended with ${end}`)

    const playback = await compareWithPlayed({ url: balancer.url, key }, devices)
    const code = await victims.stopServer()
    if (code !== 0) failed.push(`the server ended with ${code}: ${victims.output()}`)
    const [row] = await victims.database.query<{ samples: number; lost: number }>(
      "select coalesce(sum(samples), 0)::float8 as samples, count(*) filter (where lost)::int as lost from chunks"
    )
    return {
      kills: victims.kills,
      connections: devices.reduce((sum, { connections }) => sum + connections, 0),
      seconds: (performance.now() - began) / 1000,
      ...playback,
      storedSamples: row?.samples ?? 0,
      failed,
      lost: row?.lost ?? 0
    }
  } finally {
    await balancer.stop()
    await victims.remove()
  }
}
