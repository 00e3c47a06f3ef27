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
  /** Devices that were not acknowledged completely, and a server that did not stop with exit code 0. */
  readonly failed: ReadonlyArray<string>
  /** Samples that are recorded as lost. */
  readonly lost: number
  /** Captures whose replays could not be compared in time, as the servers have logged: these are kept as new audio. */
  readonly uncompared: number
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

/** Each fault with its probability. */
const faults: ReadonlyArray<readonly [Victim | "pause", number]> = [
  ["server", 0.55],
  ["database", 0.2],
  ["store", 0.15],
  ["pause", 0.1]
]

/** The devices fill a journal of 600 KiB in this time, also on a slow machine. Then kills begin while the store is still away. */
const fullAfterMillis = 10_000
const storeAwayMillis = 15_000

/** Replays are compared with audio in the store however long it is away. After the usual 5 s, they would be kept as new. */
const patientLookup = { CONVERSATION_LOOKUP: "2 minutes" }

const pause = (millis: number) => new Promise((resolve) => setTimeout(resolve, millis))

const draw = (next: () => number): Victim | "pause" => {
  let left = next()
  return faults.find(([, share]) => (left -= share) < 0)?.[0] ?? "server"
}

export const faultComplaints = (report: FaultReport): ReadonlyArray<string> => [
  ...report.different,
  ...report.failed,
  ...(report.lost > 0 || report.storedSamples === report.sentSamples
    ? []
    : ["the rows count another number of samples than was sent"])
]

export const crashWithFaults = async (options: {
  readonly kills: number
  readonly seed: number
  readonly devices?: number
  /** The journal's budget. A small one is exceeded while the store is away, and only then audio is lost. */
  readonly journalBytes?: string
}): Promise<FaultReport> => {
  const { kills } = options
  const next = random(options.seed)
  const began = performance.now()
  const key = `spw_${"c".repeat(43)}`
  // Lost audio that is sent again is placed by its timestamp: with a clock that was set back, after what was sent later.
  const hasRightClock = options.journalBytes !== undefined
  const journal =
    options.journalBytes === undefined ? {} : { ...patientLookup, SPILLWAY_JOURNAL_BYTES: options.journalBytes }
  const victims = new Victims({ ...smallBounds, ...journal, SPILLWAY_ADMIN_KEY: key })
  const balancer = await startBalancer(() => (victims.url === undefined ? [] : [victims.url]))
  const failed: Array<string> = []
  try {
    await victims.start()
    const devices = Array.from(
      { length: options.devices ?? 4 },
      (_, index) => new Device({ uid: `device-${index}`, url: balancer.url, key, next, hasRightClock })
    )
    let isOver = false
    const streaming = Promise.all(devices.map((device) => device.stream(() => isOver, 1.5)))
    streaming.catch(() => {})
    const ongoing: Array<Promise<void>> = []
    if (hasRightClock) {
      ongoing.push(victims.kill("store", storeAwayMillis))
      await pause(fullAfterMillis)
    }
    for (let kill = 1; kill <= kills; kill++) {
      await pause(30 + next() * 900)
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

    // A stop waits for the uploads.
    const code = await victims.stopServer()
    if (code !== 0) failed.push(`the server ended with ${code}: ${victims.output()}`)
    const rows = await victims.database.query<{ conversation: string; samples: number; lost: number }>(`
      select conversation_id as conversation, sum(captured)::float8 as samples, sum(lost)::float8 as lost
      from audio_files group by conversation_id`)
    await victims.startServer()
    const lostOf = new Map(rows.map(({ conversation, lost }) => [conversation, lost]))
    const playback = await compareWithPlayed({ url: balancer.url, key }, devices, lostOf)
    return {
      kills: victims.kills,
      connections: devices.reduce((sum, { connections }) => sum + connections, 0),
      seconds: (performance.now() - began) / 1000,
      ...playback,
      storedSamples: rows.reduce((sum, { samples }) => sum + samples, 0),
      failed,
      lost: rows.reduce((sum, { lost }) => sum + lost, 0),
      uncompared: victims.output().split("can't read the recorded audio").length - 1
    }
  } finally {
    await balancer.stop()
    await victims.remove()
  }
}
