/** Kills the server with SIGKILL at random instants while devices stream to it, and reports what remains. */
import * as Fs from "node:fs"
import * as Path from "node:path"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Effect, Layer, References, Result, Schema } from "effect"
import { SqlSchema } from "effect/sql"
import { Bitstream, OpusContainer, OpusPacket } from "../../src/Audio.ts"
import { Db } from "../../src/Db.ts"
import * as Database from "../../src/Db/Database.ts"
import { DbConfig } from "../../src/Db/DbConfig.ts"
import { NodeConfig } from "../../src/NodeConfig.ts"
import { decode, packet, random, samplesOf } from "../Recording/support/OpusPackets.ts"
import { stream } from "./Capturer.ts"
import { dataDirectory, type Server, startServer } from "./Server.ts"

export { random }

export interface CrashOptions {
  readonly kills: number
  readonly devices?: number
  /** All devices send Opus; otherwise every third one does. */
  readonly opus?: boolean
  readonly seed?: number
  readonly env?: Readonly<Record<string, string>>
  readonly onKill?: (kill: number) => void
}

export interface CrashReport {
  readonly kills: number
  readonly connections: number
  readonly seconds: number
  /** Devices whose played-back samples, or stored packets, differ from what they sent. */
  readonly different: ReadonlyArray<string>
  readonly objects: number
  /** Chunks that the database knows. */
  readonly rows: number
  readonly samples: number
  readonly lost: number
  readonly audioFiles: number
  /** Samples in all objects; equal to those sent when none is duplicated or lost. */
  readonly storedSamples: number
  readonly sentSamples: number
  /** Journal segments that are not empty after the last upload. */
  readonly segmentsLeft: number
}

const sampleRate = 16_000

/** Small bounds, so that a few seconds cover many commits, seals, uploads and deleted segments. */
const smallBounds = {
  SPILLWAY_CHUNK_DURATION: "1500 millis",
  SPILLWAY_COMMIT_INTERVAL: "60 millis",
  SEGMENT_BYTES: "300 KiB",
  SWEEP_INTERVAL: "1 second",
  SPILLWAY_CAPTURES_PER_USER: "100"
}

const noise = (samples: number, next: () => number) => {
  const pcm = Buffer.alloc(samples * 2)
  for (let index = 0; index < samples; index++) pcm.writeInt16LE(Math.floor(next() * 65_536) - 32_768, index * 2)
  return pcm
}

/** Packets of at least so many samples, with their lengths. */
const spoken = (samples: number, next: () => number) => {
  const all: Array<Uint8Array> = []
  for (let made = 0; made < samples; made += samplesOf(all.slice(-1), sampleRate)) all.push(packet(next))
  return Buffer.from(OpusPacket.join(all))
}

const pause = (millis: number) => new Promise((resolve) => setTimeout(resolve, millis))

const objectsIn = (directory: string): ReadonlyArray<string> =>
  Fs.existsSync(directory)
    ? Fs.readdirSync(directory, { recursive: true, withFileTypes: true })
        .filter((entry) => entry.isFile())
        .map((entry) => Path.join(entry.parentPath, entry.name))
    : []

const api = async (server: Server, path: string) => {
  const response = await fetch(`${server.url}${path}`, { headers: { authorization: `Bearer ${server.key}` } })
  if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`)
  return response
}

/** Samples of an object, from its metadata. */
const storedSamplesOf = (file: string) => {
  const samples = /"v2_samples":"(\d+)"/.exec(Fs.readFileSync(file).subarray(-1024).toString("latin1"))?.[1]
  if (samples === undefined) throw new Error(`${file} has no metadata`)
  return Number(samples)
}

/** The packets that the objects of a conversation hold, in order, and what each object decodes to. */
const storedPackets = (dataDir: string, conversation: string) => {
  const startOf = (file: string) => Number(/^\d+\.\d+/.exec(Path.basename(file))?.[0])
  const containers = objectsIn(Path.join(dataDir, "objects", "chunks"))
    .filter((file) => Path.basename(Path.dirname(file)) === conversation)
    .sort((a, b) => startOf(a) - startOf(b))
    .map((file) => Result.getOrThrow(OpusContainer.parse(Fs.readFileSync(file))).packets)
  return {
    stream: OpusPacket.join(containers.flat()),
    pcm: Buffer.concat(containers.map((packets) => decode(packets, sampleRate)))
  }
}

/** Reads the database of a stopped server. */
const rowsIn = (dataDir: string): Promise<Rows> => {
  const database = Database.layer.pipe(
    Layer.provide([DbConfig.layer, Layer.succeed(NodeConfig, { dataDir }), NodeServices.layer])
  )
  return Effect.flatMap(Db, (db) =>
    db.read("Crash.rows", (sql) =>
      SqlSchema.findOne({
        Request: Schema.Void,
        Result: Rows,
        execute: () => sql`
          select count(*)::int as rows, coalesce(sum(samples), 0)::float8 as samples, count(*) filter (where lost)::int as lost
          from chunks`
      })(undefined)
    )
  ).pipe(Effect.provide(database), Effect.provideService(References.MinimumLogLevel, "Warn"), Effect.runPromise)
}

const Rows = Schema.Struct({ rows: Schema.Int, samples: Schema.Finite, lost: Schema.Int })
type Rows = typeof Rows.Type

interface ConversationBody {
  readonly audio_files: ReadonlyArray<{ readonly id: string }>
}

/** Broken promises of a report. */
export const complaints = (report: CrashReport): ReadonlyArray<string> =>
  [
    report.different.length > 0 ? `${report.different.join(", ")} play back other samples than were sent` : "",
    report.storedSamples === report.sentSamples ? "" : "the objects hold another number of samples than was sent",
    report.samples === report.sentSamples ? "" : "the rows count another number of samples than was sent",
    report.objects === report.rows ? "" : "there are not as many objects as rows",
    report.lost === 0 ? "" : "some audio is recorded as lost",
    report.segmentsLeft === 0 ? "" : "the journal still has segments"
  ].filter((complaint) => complaint !== "")

export const crash = async (options: CrashOptions): Promise<CrashReport> => {
  const began = performance.now()
  const next = random(options.seed ?? Date.now())
  const dataDir = dataDirectory()
  const env = { ...smallBounds, ...options.env }
  const devices = Array.from({ length: options.devices ?? 4 }, (_, index) => {
    const codec = options.opus === true || index % 3 === 2 ? ("opus" as const) : ("pcm16" as const)
    // Long enough that every kill hits a stream.
    const samples = Math.round((4 + options.kills * 1.2) * sampleRate)
    return {
      conversation: `device-${index}`,
      start: 1_700_000_000 + index * 1000 + next(),
      sampleRate,
      codec,
      pcm: codec === "opus" ? spoken(samples, next) : noise(samples, next),
      played: Buffer.alloc(0)
    }
  })
  let server: Server | undefined = await startServer(dataDir, env)
  try {
    let finished = 0
    const streaming = Promise.all(
      devices.map((device) => stream(device, { server: () => server, speed: 2 + next() }).finally(() => finished++))
    )
    for (let kill = 1; kill <= options.kills && finished < devices.length; kill++) {
      await pause(30 + next() * 900)
      const victim: Server | undefined = server
      server = undefined
      await victim?.kill()
      server = await startServer(dataDir, env)
      options.onKill?.(kill)
    }
    const connections = (await streaming).reduce((sum, count) => sum + count, 0)
    const different: Array<string> = []
    let audioFiles = 0
    for (const device of devices) {
      const body = await api(server, `/v1/conversations/${device.conversation}`)
      const conversation: ConversationBody = JSON.parse(await body.text())
      audioFiles += conversation.audio_files.length
      const file = conversation.audio_files[0]
      const audio = await api(server, `/v1/sync/audio/${device.conversation}/${file?.id}?format=pcm`)
      device.played = Buffer.from(await audio.arrayBuffer())
      if (device.codec === "pcm16" && !device.played.equals(device.pcm)) different.push(device.conversation)
    }
    const code = await server.stop()
    if (code !== 0) throw new Error(`the server ended with ${code}:\n${server.output()}`)
    server = await startServer(dataDir, env)
    // A start first queues the journal's chunks for upload, and a stop waits for the uploads.
    await server.stop()
    const rows = await rowsIn(dataDir)
    for (const { codec, conversation, pcm: sent, played } of devices) {
      if (codec === "pcm16") continue
      const stored = storedPackets(dataDir, conversation)
      if (!sent.equals(stored.stream) || !played.equals(stored.pcm)) different.push(conversation)
    }
    const objects = objectsIn(Path.join(dataDir, "objects", "chunks"))
    const left = Fs.readdirSync(Path.join(dataDir, "journal")).filter(
      (name) => Fs.statSync(Path.join(dataDir, "journal", name)).size > 0
    )
    return {
      kills: options.kills,
      connections,
      seconds: (performance.now() - began) / 1000,
      different,
      objects: objects.length,
      ...rows,
      audioFiles,
      storedSamples: objects.reduce((sum, file) => sum + storedSamplesOf(file), 0),
      sentSamples: devices.reduce((sum, { codec, pcm }) => sum + Bitstream.of(codec, sampleRate).samples(pcm), 0),
      segmentsLeft: left.length
    }
  } finally {
    await server?.kill()
    Fs.rmSync(Path.dirname(dataDir), { recursive: true, force: true, maxRetries: 20 })
  }
}
