/** `src/Playback/Follow` on a real server, with devices that stream and clients that listen over sockets. */
import * as Fs from "node:fs"
import * as Path from "node:path"
import { afterAll, assert, beforeAll, it } from "@effect/vitest"
import { WebSocket } from "ws"
import { audioFrame, readAck, switchTo } from "../../support/Capturer.ts"
import { dataDirectory, type Server, startServer } from "../../support/Server.ts"
import { Timeline } from "../../../src/Audio.ts"
import { ramp } from "../../Recording/support/TestNode.ts"

let server: Server
let dataDir: string
const env = {
  SPILLWAY_CHUNK_DURATION: "2 seconds",
  SPILLWAY_COMMIT_INTERVAL: "50 millis",
  FOLLOW_INTERVAL: "20 millis",
  FOLLOW_GRACE: "1 second",
  SPILLWAY_AUDIO_RESPONSES_PER_USER: "30"
}

beforeAll(async () => {
  dataDir = dataDirectory()
  server = await startServer(dataDir, env)
})

afterAll(async () => {
  await server.stop()
  Fs.rmSync(Path.dirname(dataDir), { recursive: true, force: true, maxRetries: 20 })
})

const rate = 8_000
const start = 1_760_000_000
const fileOf = (conversation: string, at = start) =>
  Timeline.fileId("admin", conversation, { start: at, sampleRate: rate, codec: "pcm16" })

/** A device that sends when the test says so. `send` returns when the audio is acknowledged. */
const device = async (conversation: string) => {
  const url = `${server.url.replace("http", "ws")}/v1/trigger/listen?sample_rate=${rate}&audio_timeline=2&ack=1`
  const socket = new WebSocket(url, { headers: { authorization: `Bearer ${server.key}` } })
  const acknowledged = { through: 0 }
  let wake = () => {}
  socket.on("message", (data: Buffer) => {
    acknowledged.through = readAck(data)?.through ?? acknowledged.through
    wake()
  })
  await new Promise((resolve) => socket.on("open", resolve))
  socket.send(switchTo(conversation))
  const closed = new Promise((resolve) => socket.on("close", resolve))
  return {
    send: async (at: number, pcm: Uint8Array) => {
      socket.send(audioFrame(at, pcm))
      const end = at + pcm.length / 2 / rate
      while (acknowledged.through < end - 1e-4) await new Promise<void>((resolve) => (wake = resolve))
    },
    close: () => {
      socket.close()
      return closed
    }
  }
}

/** What a client has received so far, and how it ended. */
const listener = async (conversation: string, query: string, headers = {}, at = start) => {
  const abort = new AbortController()
  const response = await fetch(`${server.url}/v1/sync/audio/${conversation}/${fileOf(conversation, at)}?${query}`, {
    headers: { authorization: `Bearer ${server.key}`, ...headers },
    signal: abort.signal
  })
  const parts: Array<Uint8Array> = []
  let wake = () => {}
  const reader = response.body?.getReader()
  const ended = (async () => {
    while (true) {
      const next = await reader?.read().catch(() => "cut" as const)
      if (next === "cut") return "cut"
      if (next === undefined || next.done) return "whole"
      parts.push(next.value)
      wake()
    }
  })()
  const heard = () => Buffer.concat(parts)
  return {
    response,
    heard,
    ended,
    until: async (bytes: number) => {
      while (heard().length < bytes) await new Promise<void>((resolve) => (wake = resolve))
    },
    leave: () => abort.abort()
  }
}

it("rejects `from` without `follow`, and files that do not exist", async () => {
  const get = async (query: string) => {
    const { ended, response } = await listener("nothing", query)
    await ended
    return response.status
  }
  assert.deepStrictEqual([await get("from=1"), await get("follow=2"), await get("follow=1&from=x")], [400, 400, 400])
  assert.strictEqual(await get("follow=1"), 404)
})

it("sends what is durable and then what becomes durable, to all who follow, until the capture ends", async () => {
  const pcm = ramp(rate * 8)
  const sent = await device("talk")
  await sent.send(start, pcm.subarray(0, rate * 2))
  const first = await listener("talk", "follow=1")
  assert.strictEqual(first.response.status, 200)
  assert.isNull(first.response.headers.get("content-length"))
  assert.isNull(first.response.headers.get("etag"))
  assert.strictEqual(first.response.headers.get("accept-ranges"), "none")
  assert.strictEqual(first.response.headers.get("content-type"), "audio/wav")
  assert.match(first.response.headers.get("cache-control") ?? "", /no-store/)
  await first.until(44 + rate * 2)
  const later = []
  for (let at = 1; at < 8; at++) {
    await sent.send(start + at, pcm.subarray(at * rate * 2, (at + 1) * rate * 2))
    await first.until(44 + (at + 1) * rate * 2)
    const [ranged, live, pcmOnly] = [
      await listener("talk", "follow=1", { range: "bytes=100-" }),
      await listener("talk", "follow=1&from=-0.5&format=pcm"),
      await listener("talk", `follow=1&from=${at}.25&format=pcm`)
    ]
    assert.strictEqual(ranged.response.status, 200)
    later.push({ at, ranged, live, pcmOnly })
  }
  await sent.close()
  const whole = Buffer.concat([wavHead, pcm])
  assert.strictEqual(await first.ended, "whole")
  assert.isTrue(first.heard().equals(whole))
  for (const { at, live, pcmOnly, ranged } of later) {
    assert.deepStrictEqual(await Promise.all([live.ended, pcmOnly.ended, ranged.ended]), ["whole", "whole", "whole"])
    assert.isTrue(ranged.heard().equals(whole))
    assert.isTrue(live.heard().equals(pcm.subarray((at + 0.5) * rate * 2)))
    assert.isTrue(pcmOnly.heard().equals(pcm.subarray((at + 0.25) * rate * 2)))
  }
})

const wavHead = Buffer.from(
  "RIFF\xff\xff\xff\xffWAVEfmt \x10\0\0\0\x01\0\x01\0\x40\x1f\0\0\x80\x3e\0\0\x02\0\x10\0data\xff\xff\xff\xff",
  "latin1"
)

it("takes a seat for each response, frees that of a client that leaves, and cuts the rest when the node stops", async () => {
  const pcm = ramp(rate * 3)
  const sent = await device("pause")
  await sent.send(start, pcm.subarray(0, rate * 2))
  const all = await Promise.all(Array.from({ length: 30 }, () => listener("pause", "follow=1&format=pcm")))
  const [one, ...others] = all
  await Promise.all(all.map(({ until }) => until(rate * 2)))
  assert.strictEqual((await listener("pause", "follow=1")).response.status, 429)
  for (const { leave } of others) leave()
  let next = await listener("pause", "follow=1&format=pcm")
  while (next.response.status === 429) next = await listener("pause", "follow=1&format=pcm")
  assert.strictEqual(next.response.status, 200)
  await sent.send(start + 1, pcm.subarray(rate * 2))
  await Promise.all([one?.until(pcm.length), next.until(pcm.length)])
  assert.isTrue(one?.heard().equals(pcm))
  assert.strictEqual(await server.stop(), 0)
  assert.deepStrictEqual(await Promise.all([one?.ended, next.ended]), ["cut", "cut"])
  assert.isTrue(next.heard().equals(pcm))
  server = await startServer(dataDir, env)
})
