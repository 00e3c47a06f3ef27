/**
 * Two hours of speech in 120 chunks, recorded through the real server and played by it, next to merge-first on the same store
 * and to a plain file server with the finished WAV. No artifact is made. The operating system's page cache is warm for all.
 */
import * as fs from "node:fs"
import * as path from "node:path"
import { dataDirectory, startServer } from "../test/support/Server.ts"
import { cpuSeconds, median, round, rssMB } from "./Measurement.ts"
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

const minutes = 120
const listeners = 16
/** Consecutive listeners in a round, each on its own connection. */
const firstBytes = 10

/** The same file by a URL that needs no key. */
const signedUrl = async ({ headers, pid, url }: Target): Promise<Target> => {
  const { origin } = new URL(url)
  const found = await (await fetch(`${url.slice(0, url.lastIndexOf("/"))}/urls`, { headers })).text()
  const signed = new URL(/"signed_url":"([^"]+)"/.exec(found)?.[1] ?? "", origin)
  return { pid, url: origin + signed.pathname + signed.search, headers: {} }
}

/** The highest RSS of the server while `count` listeners read everything, over what it was before, for each of them. */
const rssPerListener = async (target: Target, count: number) => {
  const before = rssMB(target.pid)
  let peak = before
  const timer = setInterval(() => (peak = Math.max(peak, rssMB(target.pid))), 20)
  await Promise.all(Array.from({ length: count }, () => listen(target)))
  clearInterval(timer)
  return { perListener: (peak - before) / count, peak }
}

const seeks = async (target: Target, size: number, count: number, seed: number) => {
  const times: Array<number> = []
  let state = seed
  const began = performance.now()
  for (let index = 0; index < count; index++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    const start = Math.floor((state / 2 ** 32) * (size - 65_536))
    times.push((await listen(target, `bytes=${start}-${start + 65_535}`)).millis)
  }
  return { millis: median(times), perSecond: (count / (performance.now() - began)) * 1000 }
}

interface Measured {
  readonly first: Array<number>
  readonly rate: Array<number>
  readonly cpu: Array<number>
  readonly seek: Array<number>
  readonly seekRate: Array<number>
}

const empty = (): Measured => ({ first: [], rate: [], cpu: [], seek: [], seekRate: [] })

const measure = async (into: Measured, target: Target, size: number, count: number, seed: number, whole: boolean) => {
  for (let index = 0; index < (whole ? firstBytes : 1); index++) {
    into.first.push((await listen(target, undefined, true)).firstByteMs)
  }
  if (!whole) return
  const cpu = cpuSeconds(target.pid)
  const heard = await listen(target)
  if (heard.bytes !== size) throw new Error(`${target.url}: ${heard.bytes} bytes instead of ${size}`)
  into.cpu.push(cpuSeconds(target.pid) - cpu)
  into.rate.push(heard.bytes / 1e6 / (heard.millis / 1000))
  const { millis, perSecond } = await seeks(target, size, count, seed)
  into.seek.push(millis)
  into.seekRate.push(perSecond)
}

const row = (name: string, { cpu, first, rate, seek, seekRate }: Measured) => {
  const cell = (values: ReadonlyArray<number>, digits: number) =>
    (values.length === 0 ? "–" : median(values).toFixed(digits)).padStart(12)
  return name.padEnd(14) + cell(first, 2) + cell(rate, 0) + cell(cpu, 2) + cell(seek, 2) + cell(seekRate, 0)
}

export const run = async (args: ReadonlyArray<string>): Promise<void> => {
  const quick = args.includes("--quick")
  const [rounds, count] = quick ? [3, 100] : [9, 400]
  const dataDir = dataDirectory()
  const server = await startServer(dataDir, { SPILLWAY_LOG_LEVEL: "Warn", FRAMES_PER_SECOND: "100000" })
  try {
    const pcm = speech(minutes)
    const recorded = await record(server, "bench", pcm)
    // A new process, without memory of the recording.
    await server.stop()
    const player = await startServer(dataDir, { SPILLWAY_LOG_LEVEL: "Warn", SPILLWAY_ADMIN_KEY: server.key })
    try {
      await compare({ ...recorded, pid: player.pid, url: recorded.url.replace(server.url, player.url) }, dataDir, {
        pcm,
        rounds,
        count
      })
    } finally {
      await player.kill()
    }
  } finally {
    await server.kill()
    stopPeers()
    fs.rmSync(path.dirname(dataDir), { recursive: true, force: true, maxRetries: 20 })
  }
}

const compare = async (
  ours: Target,
  dataDir: string,
  { count, pcm, rounds }: { readonly pcm: Buffer; readonly rounds: number; readonly count: number }
) => {
  const coldFirstByteMs = (await listen(ours, undefined, true)).firstByteMs
  const wav = Buffer.from(await (await fetch(ours.url, { headers: ours.headers })).arrayBuffer())
  if (!wav.subarray(wavHeader).equals(pcm)) throw new Error("what is played differs from what was recorded")
  const file = path.join(path.dirname(dataDir), "merged.wav")
  const list = path.join(path.dirname(dataDir), "keys.json")
  fs.writeFileSync(file, wav)
  fs.writeFileSync(list, JSON.stringify(keysIn(path.join(dataDir, "objects"))))
  const plain = await startPeer("FilePeer.ts", file)
  const merge = await startPeer("MergePeer.ts", dataDir, list, String(sampleRate))

  const signed = await signedUrl(ours)
  const results = { ours: empty(), signed: empty(), plain: empty(), merge: empty() }
  for (let index = 0; index < rounds; index++) {
    const seed = index * 7919 + 1
    await measure(results.ours, ours, wav.length, count, seed, true)
    await measure(results.signed, signed, wav.length, count, seed, true)
    await measure(results.plain, plain, wav.length, count, seed, true)
    await measure(results.merge, merge, wav.length, count, seed, false)
  }
  const rss = await rssPerListener(ours, listeners)
  const plainRss = await rssPerListener(plain, listeners)
  const mergeRss = await rssPerListener(merge, 1)

  console.log("                first byte       whole         CPU  64 KiB seek       seeks")
  console.log("                        ms        MB/s     seconds           ms  per second")
  console.log(row("spillway", results.ours))
  console.log(row("signed URL", results.signed))
  console.log(row("plain file", results.plain))
  console.log(row("merge first", results.merge))
  console.log(
    `RSS for each of ${listeners} listeners at once: ${round(rss.perListener)} MB, plain file ${round(plainRss.perListener)} MB; ` +
      `merge first for one: ${round(mergeRss.perListener, 0)} MB`
  )
  const of = (values: ReadonlyArray<number>) => median(values)
  console.log(
    JSON.stringify({
      bench: "playback",
      firstByteMs: round(of(results.ours.first)),
      // Times as soon as merge-first.
      vsMergeFirst: round(of(results.merge.first) / of(results.ours.first), 1),
      rssPerRequestMB: round(rss.perListener),
      // Bytes per second of a long read, and seeks per second, as parts of the plain file server's.
      vsFile: round(of(results.ours.rate) / of(results.plain.rate)),
      smallVsNode: round(of(results.ours.seekRate) / of(results.plain.seekRate)),
      signedFirstByteMs: round(of(results.signed.first)),
      signedSmallVsNode: round(of(results.signed.seekRate) / of(results.plain.seekRate)),
      bestFirstByteMs: round(Math.min(...results.ours.first)),
      coldFirstByteMs: round(coldFirstByteMs),
      mergeFirstByteMs: round(of(results.merge.first), 0),
      fileFirstByteMs: round(of(results.plain.first)),
      megabytesPerSecond: round(of(results.ours.rate), 0),
      fileMegabytesPerSecond: round(of(results.plain.rate), 0),
      cpuVsFile: round(of(results.ours.cpu) / of(results.plain.cpu)),
      seekMs: round(of(results.ours.seek)),
      fileSeekMs: round(of(results.plain.seek)),
      peakRssMB: round(rss.peak, 0),
      mergeRssPerRequestMB: round(mergeRss.perListener, 0)
    })
  )
}
