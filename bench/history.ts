/**
 * The same requests on conversations of 10, 1,440 and 50,000 chunks of a minute: what they cost must not follow history. The
 * rows of all chunks name the one object that was recorded. Requests alternate between the conversations, in each order.
 */
import * as fs from "node:fs"
import * as http from "node:http"
import * as path from "node:path"
import { PgClient } from "@effect/sql-pg"
import { Effect, Redacted } from "effect"
import { Reactivity } from "effect/reactivity"
import { WebSocket } from "ws"
import { Timeline } from "../src/Audio.ts"
import { audioFrame, readAck, stream, switchTo } from "../test/support/Capturer.ts"
import { dataDirectory, type Server, startServer } from "../test/support/Server.ts"
import { pause, quantile, round, rssMB } from "./Measurement.ts"

const sampleRate = 16_000
const minute = 60 * sampleRate
const start = 1_700_000_000
const sizes = [10, 1_440, 50_000] as const
const [least, , most] = sizes
const followers = 8
const stalled = 32
/**
 * The acknowledgement of a replay waits for the next commit. A client that connects right after an acknowledgement waits for
 * a whole interval, so a long interval would hide the time that entering takes.
 */
const commitInterval = "1 millis"
/** How long `/health/live` is polled while followers poll. */
const watchedMillis = 10_000

const agent = new http.Agent({ keepAlive: true })

/** Milliseconds until the response is complete. */
const request = (server: Server, target: string, headers: Record<string, string> = {}, method = "GET") =>
  new Promise<{ readonly millis: number; readonly status: number; readonly body: string }>((resolve, reject) => {
    const began = performance.now()
    const options = { method, agent, headers: { authorization: `Bearer ${server.key}`, ...headers } }
    http
      .request(`${server.url}${target}`, options, (response) => {
        const body: Array<Buffer> = []
        response.on("data", (bytes: Buffer) => body.push(bytes))
        response.on("error", reject)
        response.on("end", () =>
          resolve({
            millis: performance.now() - began,
            status: response.statusCode ?? 0,
            body: Buffer.concat(body).toString("latin1")
          })
        )
      })
      .on("error", reject)
      .end()
  })

const uidOf = (size: number) => `u${size}`
const file = (size: number) => Timeline.fileId(uidOf(size), "c", { start, sampleRate, codec: "pcm16" })
const audio = (size: number) => `/v1/sync/audio/c/${file(size)}?uid=${uidOf(size)}`

/** Bytes of the WAV file. */
const bytesOf = (size: number) => {
  const data = size * minute * 2
  return data + (data > 0xffff_ffff - 36 ? 80 : 44)
}

/** Inserts copies of a recorded chunk one behind the other; returns the start of the first. */
const fill = (dataDir: string) => {
  const password = fs.readFileSync(`${dataDir}/postgres/password`, "utf8")
  const login = { host: `${dataDir}/postgres/run`, port: 5432, database: "postgres", username: "spillway" }
  return PgClient.makeClient({ ...login, password: Redacted.make(password) }).pipe(
    Effect.flatMap((sql) =>
      Effect.gen(function* () {
        const [source] = yield* sql<{ readonly start: number }>`
          select start_at as start from chunks where uid = 'admin' and samples = ${minute} order by start_at limit 1`
        if (source === undefined) return yield* Effect.die(new Error("no whole chunk was recorded"))
        for (const size of sizes) {
          const uid = uidOf(size)
          yield* sql`
            insert into conversations (uid, id, chunks, files, captured)
            values (${uid}, 'c', ${size}, 1, ${size * 60}::float8)`
          yield* sql`
            insert into chunks
              (uid, conversation_id, start_at, id, samples, sample_rate, codec, object_key, bytes, crc32c, peaks, begins, at,
               skip, heard, lost_samples, heard_end, end_at)
            select ${uid}, 'c', ${start} + n * 60, ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid, samples,
                   sample_rate, codec, object_key, bytes, crc32c, peaks, n = 0, (${start} + n * 60)::bigint * sample_rate, 0,
                   samples, 0, (${start} + n * 60 + 60)::bigint * sample_rate, (${start} + n * 60 + 60)::bigint * sample_rate
            from chunks, generate_series(0, ${size - 1}) n where uid = 'admin' and start_at = ${source.start}::float8`
          yield* sql`
            insert into audio_files
              (uid, conversation_id, start_at, first_id, id, sample_rate, codec, end_at, captured, lost, chunks, last_start,
               last_id)
            select ${uid}, 'c', ${start}, '00000000-0000-4000-8000-000000000000', ${file(size)}::uuid, ${sampleRate}, 'pcm16',
                   max(end_at), sum(heard), 0, count(*), max(start_at), ('00000000-0000-4000-8000-' || lpad(${String(size - 1)}, 12, '0'))::uuid
            from chunks where uid = ${uid}`
        }
        yield* sql`vacuum analyze`
        return source.start
      })
    ),
    Effect.scoped,
    Effect.provide(Reactivity.layer),
    Effect.runPromise
  )
}

/** Milliseconds until a frame that is already recorded is acknowledged, from entering the conversation. */
const enter = (server: Server, size: number, pcm: Uint8Array) =>
  new Promise<number>((resolve, reject) => {
    const query = `sample_rate=${sampleRate}&audio_timeline=2&ack=1&uid=${uidOf(size)}`
    const socket = new WebSocket(`${server.url.replace("http", "ws")}/v1/trigger/listen?${query}`, {
      headers: { authorization: `Bearer ${server.key}` }
    })
    let began = 0
    socket.on("open", () => {
      began = performance.now()
      socket.send(switchTo("c"))
      socket.send(audioFrame(start + (size - 1) * 60, pcm.subarray(0, 3_200)))
    })
    socket.on("message", (data: Buffer) => {
      if (readAck(data) === undefined) return
      resolve(performance.now() - began)
      socket.close()
    })
    socket.on("error", reject)
  })

const requests = {
  list: { path: (size: number) => `/v1/conversations?uid=${uidOf(size)}`, status: 200 },
  get: { path: (size: number) => `/v1/conversations/c?uid=${uidOf(size)}`, status: 200 },
  head: { path: audio, status: 200, method: "HEAD" },
  range: { path: audio, status: 206, range: (size: number) => `bytes=${bytesOf(size) - 65_536}-` },
  poll: { path: audio, status: 416, range: (size: number) => `bytes=${bytesOf(size)}-` },
  waveform: { path: (size: number) => `/v1/conversations/c/waveform?points=1000&uid=${uidOf(size)}`, status: 200 }
} satisfies Record<
  string,
  { path: (size: number) => string; status: number; method?: string; range?: (size: number) => string }
>

type Name = keyof typeof requests | "enter"

/** Megabytes of RSS for each listener that stops reading after the first bytes. */
const listenerMB = async (server: Server, size: number) => {
  const before = rssMB(server.pid)
  const open = await Promise.all(
    Array.from(
      { length: stalled },
      () =>
        new Promise<http.ClientRequest>((resolve, reject) => {
          const request = http.get(
            `${server.url}${audio(size)}`,
            { agent: false, headers: { authorization: `Bearer ${server.key}` } },
            (response) => response.once("readable", () => resolve(request))
          )
          request.on("error", reject)
        })
    )
  )
  await pause(2_000)
  const after = rssMB(server.pid)
  for (const request of open) {
    request.removeAllListeners("error").on("error", () => undefined)
    request.destroy()
  }
  await pause(500)
  return (after - before) / stalled
}

/** How late `/health/live` answers while followers poll the longest conversation once a second. */
const liveness = async (server: Server) => {
  const until = performance.now() + watchedMillis
  const times: Array<number> = []
  const follow = async (index: number) => {
    await pause((index * 1_000) / followers)
    while (performance.now() < until) {
      await request(server, audio(most), { range: requests.poll.range(most) })
      await pause(1_000)
    }
  }
  const probe = async () => {
    while (performance.now() < until) {
      times.push((await request(server, "/health/live")).millis)
      await pause(20)
    }
  }
  await Promise.all([probe(), ...Array.from({ length: followers }, (_, index) => follow(index))])
  return quantile(times, 0.99)
}

export const run = async (args: ReadonlyArray<string>): Promise<void> => {
  const rounds = args.includes("--quick") ? 15 : 60
  const dataDir = dataDirectory()
  const server = await startServer(dataDir, { SPILLWAY_LOG_LEVEL: "Warn", SPILLWAY_COMMIT_INTERVAL: commitInterval })
  try {
    // A capture's first chunk has a random length.
    const pcm = Buffer.alloc(minute * 4 * 2)
    for (let index = 0; index < pcm.length / 2; index++) pcm.writeInt16LE(((index * 7919) % 19_997) - 10_000, index * 2)
    await stream(
      { conversation: "source", start, sampleRate, pcm },
      { server: () => server, frameSeconds: 1, speed: 1e9 }
    )
    while (!/^spillway_upload_chunks_total [4-9]/m.test((await request(server, "/metrics")).body)) await pause(100)
    const began = await fill(dataDir)
    const frame = pcm.subarray(Math.round((began - start) * sampleRate) * 2)
    const times = new Map<string, Array<number>>()
    const add = (name: Name, size: number, millis: number) => {
      const key = `${name} ${size}`
      times.set(key, [...(times.get(key) ?? []), millis])
    }
    // The first round warms up, and computes the waveforms' hours.
    const first = await request(server, requests.waveform.path(most))
    for (let at = -1; at < rounds; at++) {
      const order = sizes.map((_, index) => sizes[(at + 1 + index) % sizes.length] ?? least)
      for (const [name, each] of Object.entries(requests)) {
        for (const size of order) {
          const headers: Record<string, string> = "range" in each ? { range: each.range(size) } : {}
          const method = "method" in each ? each.method : "GET"
          const { body, millis, status } = await request(server, each.path(size), headers, method)
          if (status !== each.status) throw new Error(`${name} of ${size} chunks: ${status} ${body.slice(0, 500)}`)
          if (at >= 0) add(name as keyof typeof requests, size, millis)
        }
      }
      for (const size of order) {
        const millis = await enter(server, size, frame)
        if (at >= 0) add("enter", size, millis)
      }
    }
    const p50 = (name: string, size: number) => quantile(times.get(`${name} ${size}`) ?? [], 0.5)
    const names = [...Object.keys(requests), "enter"]
    console.log(`p50 in ms${sizes.map((size) => String(size).padStart(12)).join("")}     ratio`)
    for (const name of names) {
      const cells = sizes.map((size) => p50(name, size).toFixed(2).padStart(12))
      console.log(name.padEnd(9) + cells.join("") + (p50(name, most) / p50(name, least)).toFixed(2).padStart(10))
    }
    // The longest first: later ones reuse its memory.
    const held = await listenerMB(server, most)
    const heldShort = await listenerMB(server, least)
    const liveP99Ms = await liveness(server)
    const ratio = (name: Name) => round(p50(name, most) / p50(name, least))
    console.log(`first waveform of ${most} chunks: ${first.millis.toFixed(0)} ms`)
    console.log(`stalled listener: ${heldShort.toFixed(2)} MB of ${least} chunks, ${held.toFixed(2)} MB of ${most}`)
    console.log(`/health/live under ${followers} followers: p99 ${liveP99Ms.toFixed(1)} ms`)
    console.log(
      JSON.stringify({
        rangeRatio: ratio("range"),
        pollRatio: ratio("poll"),
        getRatio: ratio("get"),
        listRatio: ratio("list"),
        enterRatio: ratio("enter"),
        waveformRatio: ratio("waveform"),
        listenerMB: round(held),
        headRatio: ratio("head"),
        liveP99Ms: round(liveP99Ms, 1),
        firstWaveformMs: round(first.millis, 0)
      })
    )
  } finally {
    await server.kill()
    agent.destroy()
    fs.rmSync(path.dirname(dataDir), { recursive: true, force: true, maxRetries: 20 })
  }
}
