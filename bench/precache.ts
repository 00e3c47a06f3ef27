/**
 * Merging audio files in advance: how fast they are merged, next to `ffmpeg -f concat -c copy` and `cat`; what a listener waits
 * meanwhile; how fast speech is encoded as Opus; and that a merge in a bucket moves no audio. nginx serves the merged file.
 */
import { spawnSync } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { Wav } from "../src/Audio.ts"
import { GcsServer } from "../test/support/gcs/Server.ts"
import { dataDirectory, type Server, startServer } from "../test/support/Server.ts"
import { median, metric, pause, quantile, round } from "./Measurement.ts"
import {
  keysIn,
  listen,
  record,
  sampleRate,
  speech,
  startPeer,
  stopPeers,
  type Target,
  wavHeader
} from "./playback/Listening.ts"
import { isInstalled, startNginx } from "./playback/Nginx.ts"

const environment = { SPILLWAY_LOG_LEVEL: "Warn", FRAMES_PER_SECOND: "100000" }
const timeoutMillis = 120_000

const time = (program: string, ...args: ReadonlyArray<string>) => {
  const began = performance.now()
  const { status, stderr } = spawnSync(program, args, { encoding: "utf8", maxBuffer: 2 ** 30 })
  if (status !== 0) throw new Error(`${program} ended with ${status}: ${stderr}`)
  return (performance.now() - began) / 1000
}

const merges = (server: Server, outcome: string) =>
  metric(server, new RegExp(`^spillway_precache_merges_total\\{[^}]*outcome="${outcome}"[^}]*\\} (\\S+)`, "m"))

const request = async (server: Server, conversation: string) => {
  const response = await fetch(`${server.url}/v1/sync/audio/${conversation}/precache`, {
    method: "POST",
    headers: { authorization: `Bearer ${server.key}` }
  })
  if (!response.ok) throw new Error(`precache: ${response.status} ${await response.text()}`)
}

/** Reading the metrics keeps the server busy for milliseconds: beside a listener it is done seldom, so as not to be measured. */
const pollMillis = 20
const pollMillisBeside = 250

/** Requests all, and calls `meanwhile` until they are merged. Returns the seconds that it took. */
const mergeAll = async (
  server: Server,
  conversations: ReadonlyArray<string>,
  outcome: string,
  meanwhile?: () => Promise<void>
) => {
  const every = meanwhile === undefined ? pollMillis : pollMillisBeside
  const before = await merges(server, outcome)
  const began = performance.now()
  await Promise.all(conversations.map((conversation) => request(server, conversation)))
  const state = { isDone: false }
  const ended = async () => {
    while ((await merges(server, outcome)) < before + conversations.length) {
      if (performance.now() - began > timeoutMillis) throw new Error("the audio files were not merged in time")
      await pause(every)
    }
    state.isDone = true
    return (performance.now() - began) / 1000
  }
  const waiting = ended()
  waiting.catch(() => (state.isDone = true))
  // To its end: what follows may block this process, which would be measured too.
  while (!state.isDone) await (meanwhile ?? (() => pause(pollMillis)))()
  return waiting
}

const firstByte = async (target: Target) => (await listen(target, undefined, true)).firstByteMs

/** In a bucket: bytes of audio that pass through the server while a conversation is merged. */
const composed = async (pcm: Buffer) => {
  const bucket = await GcsServer.start({ buckets: ["bench"], needsToken: false })
  const dataDir = dataDirectory()
  const server = await startServer(dataDir, {
    ...environment,
    SPILLWAY_GCS_ENDPOINT: bucket.url,
    SPILLWAY_BUCKET: "bench"
  })
  try {
    await record(server, "bench", pcm)
    const moved = async () =>
      (await metric(server, /^spillway_storage_read_bytes_total (\S+)/m)) +
      (await metric(server, /^spillway_storage_written_bytes_total (\S+)/m))
    const before = await moved()
    const seconds = await mergeAll(server, ["bench"], "composed")
    return { bytes: (await moved()) - before - wavHeader, seconds }
  } finally {
    await server.kill()
    await bucket.stop()
    fs.rmSync(path.dirname(dataDir), { recursive: true, force: true, maxRetries: 20 })
  }
}

/** The same audio as files that `ffmpeg` and `cat` merge. */
const writeParts = (directory: string, name: string, pcm: Buffer) => {
  const size = 60 * sampleRate * 2
  const parts = Array.from({ length: Math.ceil(pcm.length / size) }, (_, i) => pcm.subarray(i * size, (i + 1) * size))
  const files = parts.map((part, i) => {
    const file = path.join(directory, `${name}-${i}`)
    fs.writeFileSync(`${file}.pcm`, part)
    fs.writeFileSync(`${file}.wav`, Buffer.concat([Wav.header(sampleRate, part.length / 2), part]))
    return file
  })
  const list = path.join(directory, `${name}.txt`)
  fs.writeFileSync(list, files.map((file) => `file '${file}.wav'\n`).join(""))
  return { list, pcm: files.map((file) => `${file}.pcm`) }
}

const compare = async (server: Server, dataDir: string, pcm: Buffer, count: number, samples: number) => {
  const directory = path.join(path.dirname(dataDir), "peers")
  fs.mkdirSync(directory)
  const listened = await record(server, "listened", pcm)
  const conversations = Array.from({ length: count }, (_, i) => `merged-${i}`)
  for (const conversation of conversations) await record(server, conversation, pcm)

  const [alone, beside] = [conversations.slice(0, count / 2), conversations.slice(count / 2)]
  const megabytes = (alone.length * pcm.length) / 1e6
  const seconds = await mergeAll(server, alone, "streamed")
  const quiet: Array<number> = []
  for (let i = 0; i < samples; i++) quiet.push(await firstByte(listened))
  const busy: Array<number> = []
  const besideSeconds = await mergeAll(
    server,
    beside,
    "streamed",
    async () => void busy.push(await firstByte(listened))
  )

  const { list, pcm: parts } = writeParts(directory, "part", pcm)
  const merged = path.join(directory, "merged.wav")
  const ffmpegSeconds = alone.reduce(
    (sum) => sum + time("ffmpeg", "-v", "error", "-y", "-f", "concat", "-safe", "0", "-i", list, "-c", "copy", merged),
    0
  )
  const catSeconds = alone.reduce((sum) => sum + time("sh", "-c", `cat ${parts.join(" ")} > ${merged}.pcm`), 0)

  const nginx = await startNginx(merged)
  const keys = path.join(directory, "keys.json")
  fs.writeFileSync(keys, JSON.stringify(keysIn(path.join(dataDir, "objects")).slice(0, parts.length)))
  const mergeFirst = await startPeer("MergePeer.ts", dataDir, keys, String(sampleRate))
  const served: Array<number> = []
  const mergedFirst: Array<number> = []
  for (let i = 0; i < 10; i++) {
    if (nginx !== undefined) served.push(await firstByte(nginx))
    mergedFirst.push(await firstByte(mergeFirst))
  }

  const began = performance.now()
  await listen({ ...listened, url: `${listened.url}?format=ogg` })
  const opusSeconds = (performance.now() - began) / 1000
  const inBucket = await composed(pcm)

  const [quietP95, busyP95] = [quantile(quiet, 0.95), quantile(busy, 0.95)]
  console.log(`merged ${alone.length} audio files of ${pcm.length / (sampleRate * 120)} minutes, MB/s:`)
  console.log(`  spillway ${round(megabytes / seconds, 0)}, of which each is synced to disk`)
  console.log(`           ${round(megabytes / besideSeconds, 0)} beside a listener`)
  console.log(`  ffmpeg   ${round(megabytes / ffmpegSeconds, 0)}`)
  console.log(`  cat      ${round(megabytes / catSeconds, 0)}`)
  console.log(`a listener's first byte, ms: ${round(quietP95)} at p95, ${round(busyP95)} while these were merged`)
  console.log(`  nginx with the merged file: ${nginx === undefined ? "not installed" : round(median(served))}`)
  console.log(`  merge first: ${round(median(mergedFirst))}`)
  console.log(
    JSON.stringify({
      bench: "precache",
      vsFfmpeg: round(ffmpegSeconds / seconds),
      vsCat: round(catSeconds / seconds),
      composedAudioBytes: inBucket.bytes,
      composedSeconds: round(inBucket.seconds),
      opusTimesRealTime: round(pcm.length / (sampleRate * 2) / opusSeconds, 0),
      // A listener's first byte at p95, as a multiple of that without merges.
      listenerBusyVsQuiet: round(busyP95 / quietP95),
      busyListeners: busy.length,
      // How much longer the merges took beside the listener.
      mergesBesideVsAlone: round(besideSeconds / seconds),
      nginxFirstByteMs: nginx === undefined ? null : round(median(served)),
      mergeFirstByteMs: round(median(mergedFirst)),
      firstByteMs: round(median(quiet))
    })
  )
}

export const run = async (args: ReadonlyArray<string>): Promise<void> => {
  const quick = args.includes("--quick")
  if (!isInstalled("ffmpeg")) throw new Error("ffmpeg is not installed")
  const dataDir = dataDirectory()
  const server = await startServer(dataDir, environment)
  try {
    await (quick ? compare(server, dataDir, speech(5), 12, 100) : compare(server, dataDir, speech(20), 24, 400))
  } finally {
    stopPeers()
    await server.kill()
    fs.rmSync(path.dirname(dataDir), { recursive: true, force: true, maxRetries: 20 })
  }
}
