/** `src/Playback/Export` on a real server: any part of a long conversation, at the same cost in memory. */
import * as Fs from "node:fs"
import * as Path from "node:path"
import { pathToFileURL } from "node:url"
import { PgClient } from "@effect/sql-pg"
import { afterAll, assert, beforeAll, expect, it } from "@effect/vitest"
import { Effect, Redacted } from "effect"
import { Reactivity } from "effect/reactivity"
import { Timeline } from "../../../src/Audio.ts"
import { stream } from "../../support/Capturer.ts"
import { dataDirectory, type Server, startServer } from "../../support/Server.ts"
import { ramp } from "../../Recording/support/TestNode.ts"
import { unpack } from "./support/ZipReader.ts"

let server: Server
let dataDir: string

const rate = 8_000
const start = 1_700_000_000
/** A quarter of a second of audio, and a gap. */
const chunk = Buffer.from(ramp(2_000))
const step = Buffer.concat([chunk, Buffer.alloc(400 * 2)])
const chunks = 6_000
const preload = pathToFileURL(Path.join(import.meta.dirname, "../../support/MemoryPreload.ts")).href
/** Seconds between the files of a conversation with many. */
const apart = 100
const files = 1_200

/** Conversations of chunks that name one recorded object: one file with many gaps, and many files. */
const fill = () => {
  const password = Fs.readFileSync(`${dataDir}/postgres/password`, "utf8")
  const login = { host: `${dataDir}/postgres/run`, port: 5432, database: "postgres", username: "spillway" }
  return PgClient.makeClient({ ...login, password: Redacted.make(password) }).pipe(
    Effect.flatMap((sql) =>
      Effect.gen(function* () {
        const stored = sql`select id from chunks where uid = 'admin' and conversation_id = 'source'`
        yield* Effect.repeat(Effect.delay(stored, "20 millis"), { until: (rows) => rows.length > 0 })
        const insert = (id: string, count: number, seconds: number) => sql`
          insert into chunks
            (uid, conversation_id, start_at, id, samples, sample_rate, codec, object_key, bytes, crc32c, peaks, begins, at,
             skip, heard, lost_samples, heard_end, end_at)
          select uid, ${id}, ${start} + n * ${seconds}::float8,
                 ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid, samples, sample_rate, codec, object_key, bytes,
                 crc32c, peaks, n = 0 or ${seconds > 90}, (${start}::float8 * ${rate} + n * ${seconds * rate})::bigint, 0,
                 samples, 0, (${start}::float8 * ${rate} + n * ${seconds * rate})::bigint + samples,
                 (${start}::float8 * ${rate} + n * ${seconds * rate})::bigint + samples
          from chunks, generate_series(0, ${count - 1}) n where uid = 'admin' and conversation_id = 'source'`
        yield* sql`
          insert into conversations (uid, id, chunks, files, captured)
          values ('admin', 'gaps', ${chunks}, 1, ${chunks / 4}::float8), ('admin', 'files', ${files}, ${files}, ${files / 4}::float8)`
        yield* insert("gaps", chunks, step.length / 2 / rate)
        yield* insert("files", files, apart)
        const id = Timeline.fileId("admin", "gaps", { start, sampleRate: rate, codec: "pcm16" })
        yield* sql`
          insert into audio_files
            (uid, conversation_id, start_at, first_id, id, sample_rate, codec, end_at, captured, lost, chunks, last_start, last_id)
          select uid, conversation_id, min(start_at), '00000000-0000-4000-8000-000000000000', ${id}::uuid, ${rate}, 'pcm16',
                 max(end_at), sum(heard), 0, count(*), max(start_at),
                 ('00000000-0000-4000-8000-' || lpad(${String(chunks - 1)}, 12, '0'))::uuid
          from chunks where conversation_id = 'gaps' group by uid, conversation_id`
        yield* sql`
          insert into audio_files
            (uid, conversation_id, start_at, first_id, id, sample_rate, codec, end_at, captured, lost, chunks, last_start, last_id)
          select uid, conversation_id, start_at, id, gen_random_uuid(), ${rate}, 'pcm16', end_at, heard, 0, 1, start_at, id
          from chunks where conversation_id = 'files'`
        yield* sql`vacuum analyze`
      })
    ),
    Effect.scoped,
    Effect.provide(Reactivity.layer),
    Effect.runPromise
  )
}

beforeAll(async () => {
  dataDir = dataDirectory()
  server = await startServer(dataDir, { NODE_OPTIONS: `--import=${preload}` })
  const recorded = { conversation: "source", start: 1_600_000_000, sampleRate: rate, pcm: chunk }
  await stream(recorded, { server: () => server })
  await fill()
})

afterAll(async () => {
  await server.stop()
  Fs.rmSync(Path.dirname(dataDir), { recursive: true, force: true, maxRetries: 20 })
})

const get = (path: string) =>
  fetch(`${server.url}/v1/conversations/${path}`, { headers: { authorization: `Bearer ${server.key}` } })
const bytesOf = async (response: Response) => Buffer.from(await response.arrayBuffer())

/** What the server refers to. */
const retainedMB = async () => {
  const all = () => [...server.output().matchAll(/"retainedBytes":(\d+)/g)]
  const before = all().length
  process.kill(server.pid, "SIGUSR2")
  await expect.poll(() => all().length, { timeout: 60_000 }).toBeGreaterThan(before)
  return Number(all().at(-1)?.[1]) / 1e6
}

it("exports half an hour with 6,000 gaps as one file, and does not keep what it has sent", async () => {
  const response = await get("gaps/export")
  const length = 44 + chunks * step.length - 800
  assert.strictEqual(response.headers.get("content-length"), String(length))
  let at = -44
  let first: number | undefined
  for await (const piece of response.body ?? []) {
    const bytes = Buffer.from(piece)
    for (let from = Math.max(0, -at); from < bytes.length;) {
      const inStep = (at + from) % step.length
      const to = Math.min(bytes.length, from + step.length - inStep)
      if (bytes.compare(step, inStep, inStep + to - from, from, to) !== 0) assert.fail(`other audio at ${at + from}`)
      from = to
    }
    const before = at
    at += bytes.length
    for (const share of [0.25, 0.5, 0.75]) {
      if (before >= length * share || at < length * share) continue
      const retained = await retainedMB()
      first ??= retained
      // A fourth of the audio is 7 MB.
      assert.isBelow(retained - first, 5)
    }
  }
  assert.strictEqual(at + 44, length)
})

it("exports a part from the middle of it without what is before", async () => {
  const seconds = step.length / 2 / rate
  const from = start + 5_000 * seconds + 0.1
  const query = `from=${from.toFixed(6)}&to=${(from + 10 * seconds).toFixed(6)}`
  const whole = Buffer.concat(Array.from({ length: 11 }, () => step))
  const pcm = whole.subarray(0.1 * rate * 2, (0.1 + 10 * seconds) * rate * 2)
  const wav = await bytesOf(await get(`gaps/export?${query}`))
  assert.isTrue(wav.subarray(44).equals(pcm))
  const [, file] = unpack(await bytesOf(await get(`gaps/export?${query}&format=zip`)))
  assert.isTrue(file?.content.equals(wav))
})

it("exports many audio files by their times, page by page", async () => {
  assert.strictEqual((await get("files/export")).status, 400)
  const zip = unpack(await bytesOf(await get("files/export?format=zip")))
  assert.strictEqual(zip.length, files + 1)
  assert.isTrue(zip.slice(1).every(({ content }) => content.subarray(44).equals(chunk)))
  for (const [from, to] of [
    [0, 10],
    [3, 4],
    [600, 700],
    [1_190, 1_200],
    [100, 1_100]
  ] as const) {
    const query = `from=${start + from * apart}&to=${start + to * apart}`
    const wav = await bytesOf(await get(`files/export?${query}`))
    assert.strictEqual(wav.length, 44 + (to - from) * chunk.length, query)
  }
})
