/** `src/Playback` on a real server: ranges on one kept connection, whose key, conversation or file changes between them. */
import * as Fs from "node:fs"
import * as Http from "node:http"
import * as Path from "node:path"
import { afterAll, assert, beforeAll, it } from "@effect/vitest"
import { stream } from "../support/Capturer.ts"
import { dataDirectory, type Server, startServer } from "../support/Server.ts"

const seconds = 6
const sampleRate = 16_000
const pcm = Buffer.alloc(seconds * sampleRate * 2, Buffer.from([...Array(251).keys()]))
const header = 44

let server: Server
let dataDir: string
const agent = new Http.Agent({ keepAlive: true, maxSockets: 1 })
const env = {
  SPILLWAY_CHUNK_DURATION: "2 seconds",
  SPILLWAY_COMMIT_INTERVAL: "100 millis",
  SPILLWAY_MASTER_SECRETS: Buffer.alloc(32, 7).toString("base64")
}

beforeAll(async () => {
  dataDir = dataDirectory()
  server = await startServer(dataDir, env)
})

afterAll(async () => {
  agent.destroy()
  await server.stop()
  Fs.rmSync(Path.dirname(dataDir), { recursive: true, force: true, maxRetries: 20 })
})

interface Answer {
  readonly status: number
  readonly body: Buffer
  readonly isReused: boolean
}

interface Options {
  readonly method?: string
  readonly key?: string
  readonly range?: string
  readonly json?: unknown
}

const send = (path: string, { json, key = server.key, method = "GET", range }: Options = {}) =>
  new Promise<Answer>((resolve, reject) => {
    const headers = {
      ...(key === "" ? {} : { authorization: `Bearer ${key}` }),
      ...(range === undefined ? {} : { range }),
      ...(json === undefined ? {} : { "content-type": "application/json" })
    }
    const request = Http.request(`${server.url}${path}`, { agent, method, headers }, (response) => {
      const parts: Array<Buffer> = []
      response.on("data", (data) => parts.push(data))
      response.on("end", () =>
        resolve({ status: response.statusCode ?? 0, body: Buffer.concat(parts), isReused: request.reusedSocket })
      )
    })
    request.on("error", reject).end(json === undefined ? undefined : JSON.stringify(json))
  })

const json = async (path: string, options?: Options) => JSON.parse(String((await send(path, options)).body))

const storedSeconds = async () =>
  Number(/^spillway_upload_audio_seconds_total (\S+)/m.exec(String((await send("/metrics")).body))?.[1] ?? 0)

/** Records a conversation, and waits until all of it is in the store. The path of its audio file. */
const record = async (conversation: string, audio = pcm) => {
  const before = await storedSeconds()
  await stream({ conversation, start: 1_760_000_000, sampleRate, pcm: audio }, { server: () => server, speed: 1e9 })
  while ((await storedSeconds()) < before + audio.length / (2 * sampleRate) - 0.001)
    await new Promise((resolve) => setTimeout(resolve, 50))
  const { audio_files: files } = await json(`/v1/conversations/${conversation}`)
  return `/v1/sync/audio/${conversation}/${files[0].id}`
}

const ranges = [
  [0, 1_000],
  [70_000, 90_000],
  [70_010, 190_000]
] as const

/** Reads the ranges that it has twice, so that the second time everything about them is known. */
const hear = async (path: string, expected: Buffer, key?: string) => {
  const known = ranges.filter(([, end]) => end <= expected.length)
  for (const [start, end] of [...known, ...known]) {
    const { body, isReused, status } = await send(path, {
      range: `bytes=${start}-${end - 1}`,
      ...(key === undefined ? {} : { key })
    })
    assert.deepStrictEqual([status, isReused], [206, true])
    const audio = body.subarray(Math.max(0, header - start))
    assert.isTrue(audio.equals(expected.subarray(Math.max(0, start - header), end - header)))
  }
}

const statusOf = async (path: string, key?: string) => {
  const { isReused, status } = await send(path, { range: "bytes=70000-89999", ...(key === undefined ? {} : { key }) })
  assert.isTrue(isReused)
  return status
}

const signedOf = async (path: string) => {
  const { audio_files: files } = await json(`${path.slice(0, path.lastIndexOf("/"))}/urls`)
  return new URL(files[0].signed_url).pathname
}

it("rejects a key from its revocation on", async () => {
  const path = await record("revoked")
  const { id, key } = await json("/v1/keys", { method: "POST", json: { uid: "admin" } })
  await hear(path, pcm, key)
  assert.strictEqual((await send(`/v1/keys/${id}`, { method: "DELETE" })).status, 204)
  assert.strictEqual(await statusOf(path, key), 401)
  await hear(path, pcm)
})

it("knows no conversation from its deletion on, by a key and by a signed URL, and plays another one under its name", async () => {
  const path = await record("deleted")
  const signed = await signedOf(path)
  await hear(path, pcm)
  await hear(signed, pcm, "")
  const { job_id: job } = await json("/v1/conversations/deleted", { method: "DELETE" })
  while ((await json(`/v1/deletions/${job}`)).status !== "done") await new Promise((resolve) => setTimeout(resolve, 50))
  assert.deepStrictEqual([await statusOf(path), await statusOf(signed, "")], [404, 403])
  const other = Buffer.from(pcm.toReversed())
  await hear(await record("deleted", other), other)
})

it("plays what is recorded after a range was read", async () => {
  const half = pcm.subarray(0, pcm.length / 2)
  const path = await record("grown", half)
  await hear(path, half)
  await stream({ conversation: "grown", start: 1_760_000_000, sampleRate, pcm }, { server: () => server, speed: 1e9 })
  await hear(path, pcm)
})

it("decrypts the ranges of encrypted audio", async () => {
  const changed = await send("/v1/users/admin/settings", { method: "PUT", json: { protection: "enhanced" } })
  assert.strictEqual(changed.status, 200)
  const path = await record("encrypted")
  await hear(path, pcm)
  await hear(await signedOf(path), pcm, "")
})

it("plays no object that another process removed from the store, until it is there again", async () => {
  await send("/v1/users/admin/settings", { method: "PUT", json: { protection: "standard" } })
  const path = await record("removed")
  await hear(path, pcm)
  const objects = Path.join(dataDir, "objects")
  const chunks = Fs.readdirSync(objects, { recursive: true, encoding: "utf8" })
    .filter((name) => name.includes("/removed/") && name.endsWith("="))
    .map((name) => Path.join(objects, name))
  for (const chunk of chunks) Fs.renameSync(chunk, `${chunk}.moved`)
  assert.strictEqual(await statusOf(path), 404)
  for (const chunk of chunks) Fs.renameSync(`${chunk}.moved`, chunk)
  await hear(path, pcm)
})
