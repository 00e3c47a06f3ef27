/** `src/Recording` and `src/Playback` on a real server: every sample that is streamed is played back, also while it is recorded. */
import * as Fs from "node:fs"
import * as Path from "node:path"
import { afterAll, assert, beforeAll, it } from "@effect/vitest"
import { stream } from "../support/Capturer.ts"
import { random } from "../support/Crash.ts"
import { dataDirectory, type Server, startServer } from "../support/Server.ts"

let server: Server
let dataDir: string
const env = { SPILLWAY_CHUNK_DURATION: "2 seconds", SPILLWAY_COMMIT_INTERVAL: "100 millis" }

beforeAll(async () => {
  dataDir = dataDirectory()
  server = await startServer(dataDir, env)
})

afterAll(async () => {
  await server.stop()
  Fs.rmSync(Path.dirname(dataDir), { recursive: true, force: true, maxRetries: 20 })
})

const get = (path: string, headers: Readonly<Record<string, string>> = {}) =>
  fetch(`${server.url}${path}`, { headers: { authorization: `Bearer ${server.key}`, ...headers } })

const json = async (path: string) => JSON.parse(await (await get(path)).text())

const bytesOf = async (response: Response) => Buffer.from(await response.arrayBuffer())

const tone = (seconds: number) => {
  const pcm = Buffer.alloc(seconds * 16_000 * 2)
  for (let index = 0; index < pcm.length / 2; index++) {
    pcm.writeInt16LE(
      Math.round(12_000 * Math.sin(index / 9) * Math.sin(index / 4000) + ((index * 7919) % 101)),
      index * 2
    )
  }
  return pcm
}

it("plays back every sample while it is recorded, once it is stored, and after a kill", async () => {
  const next = random(7)
  const pcm = tone(8)
  const recorded = { conversation: "live", start: 1_760_000_000.123, sampleRate: 16_000, pcm }
  const wav = Buffer.concat([wavHeader(pcm.length), pcm])
  const progress = { done: false }
  let heardLive = 0
  const streaming = stream(recorded, { server: () => server }).then(() => (progress.done = true))
  while (!progress.done) {
    const conversation = await (await get("/v1/conversations/live")).text()
    const file = JSON.parse(conversation).audio_files?.[0]
    if (file === undefined) {
      await new Promise((resolve) => setTimeout(resolve, 20))
      continue
    }
    const whole = await bytesOf(await get(`/v1/sync/audio/live/${file.id}`))
    assert.isTrue(whole.subarray(44).equals(pcm.subarray(0, whole.length - 44)))
    assert.strictEqual(whole.readUInt32LE(40), whole.length - 44)
    if (whole.length < wav.length) heardLive = Math.max(heardLive, whole.length)
    const from = Math.floor(next() * whole.length)
    const part = await get(`/v1/sync/audio/live/${file.id}`, { range: `bytes=${from}-` })
    assert.strictEqual(part.status, 206)
    const heard = await bytesOf(part)
    const inPcm = Math.max(0, from - 44)
    const skip = Math.max(0, 44 - from)
    assert.isTrue(heard.subarray(skip).equals(pcm.subarray(inPcm, inPcm + heard.length - skip)))
  }
  await streaming
  assert.isAbove(heardLive, 3 * 16_000 * 2)

  const check = async () => {
    const conversation = await json("/v1/conversations/live")
    assert.deepStrictEqual((await json("/v1/conversations")).conversations, [conversation])
    const { audio_files: files } = conversation
    assert.strictEqual(files.length, 1)
    assert.strictEqual(files[0].bytes, wav.length)
    const path = `/v1/sync/audio/live/${files[0].id}`
    assert.isTrue((await bytesOf(await get(path))).equals(wav))
    for (let times = 0; times < 20; times++) {
      const from = Math.floor(next() * wav.length)
      const to = Math.min(wav.length - 1, from + Math.floor(next() * 200_000))
      const part = await get(path, { range: `bytes=${from}-${to}` })
      assert.strictEqual(part.headers.get("content-range"), `bytes ${from}-${to}/${wav.length}`)
      assert.isTrue((await bytesOf(part)).equals(wav.subarray(from, to + 1)))
    }
    return files[0].id
  }
  const id = await check()
  await server.kill()
  server = await startServer(dataDir, env)
  assert.strictEqual(await check(), id)
  assert.strictEqual(await server.stop(), 0)
  server = await startServer(dataDir, env)
  assert.strictEqual(await check(), id)
})

const wavHeader = (dataBytes: number) => {
  const header = Buffer.from(
    "RIFF\0\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x80\x3e\0\0\0\x7d\0\0\x02\0\x10\0data\0\0\0\0",
    "latin1"
  )
  header.writeUInt32LE(36 + dataBytes, 4)
  header.writeUInt32LE(dataBytes, 40)
  return header
}
