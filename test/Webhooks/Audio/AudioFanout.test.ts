/** `src/Webhooks/Audio`: a real server sends live audio to real endpoints. */
import { createHmac } from "node:crypto"
import * as Http from "node:http"
import type { AddressInfo } from "node:net"
import { assert, it, onTestFinished } from "@effect/vitest"
import { openCaptureSocket } from "../../support/CaptureSocket.ts"
import { audioFrame, stream, switchTo } from "../../support/Capturer.ts"
import { fileServer } from "../../support/TestServer.ts"

const server = fileServer({
  SPILLWAY_WEBHOOK_ALLOW_HTTP: "yes",
  SPILLWAY_WEBHOOK_ALLOW_ADDRESSES: "127.0.0.0/8",
  SPILLWAY_CAPTURES_PER_USER: "10"
})

const sampleRate = 8_000
const bytesPerSecond = sampleRate * 2

/** No two seconds are alike. */
const noise = (seconds: number) => {
  const pcm = Buffer.alloc(seconds * bytesPerSecond)
  for (let at = 0, value = 7; at < pcm.length; at += 2) {
    value = (Math.imul(value, 1_103_515_245) + 12_345) & 0x7fff_ffff
    pcm.writeInt16LE((value >> 12) % 30_000, at)
  }
  return pcm
}

interface Piece {
  readonly query: URLSearchParams
  readonly headers: Http.IncomingHttpHeaders
  readonly audio: Buffer
}

/** Answers each request after `delay` milliseconds. */
const receiver = async (delay = 0) => {
  const pieces: Array<Piece> = []
  const listener = Http.createServer((request, response) => {
    const parts: Array<Buffer> = []
    request.on("data", (part: Buffer) => parts.push(part))
    request.on("end", () => {
      const { searchParams: query } = new URL(request.url ?? "", "http://x")
      pieces.push({ query, headers: request.headers, audio: Buffer.concat(parts) })
      setTimeout(() => response.writeHead(204).end(), delay)
    })
  })
  await new Promise<void>((resolve) => listener.listen(0, "127.0.0.1", resolve))
  onTestFinished(() => {
    listener.close()
    listener.closeAllConnections()
  })
  const { port } = listener.address() as AddressInfo
  return { url: `http://127.0.0.1:${port}/audio?token=abc`, pieces }
}

const call = async (method: string, path: string, body?: unknown) => {
  const response = await fetch(`${server.url}${path}`, {
    method,
    headers: { authorization: `Bearer ${server.key}`, "content-type": "application/json" },
    ...(body === undefined ? {} : { body: JSON.stringify(body) })
  })
  assert.isTrue(response.ok, `${method} ${path}: ${response.status}`)
  return JSON.parse(await response.text())
}

const subscribe = async (url: string) => {
  const { id, secret } = await call("POST", "/v1/webhooks", { url, types: ["conversation.deleted"], audio_seconds: 1 })
  const headers = { authorization: `Bearer ${server.key}` }
  onTestFinished(async () => void (await fetch(`${server.url}/v1/webhooks/${id}`, { method: "DELETE", headers })))
  return secret
}

const record = (conversation: string, pcm: Buffer, speed: number) =>
  stream({ conversation, start: 1_700_000_000, sampleRate, pcm }, { server: () => server, frameSeconds: 0.1, speed })

const until = async (isSo: () => boolean) => {
  while (!isSo()) await new Promise((resolve) => setTimeout(resolve, 20))
}

it("sends the audio of a capture in signed pieces of a second, and what is left at its end", async () => {
  const { pieces, url } = await receiver()
  const secret = await subscribe(url)
  const pcm = noise(8)
  await record("spoken", pcm, 2)
  const last = () => pieces.at(-1)?.audio ?? Buffer.alloc(0)
  await until(() => last().length > 0 && pcm.subarray(-last().length).equals(last()))
  // The endpoints of a user are known a second after the first audio. On a busy machine a newer piece supersedes one.
  assert.isAtLeast(
    pieces.reduce((sum, { audio }) => sum + audio.length, 0),
    3 * bytesPerSecond
  )
  let end = 0
  for (const { audio } of pieces) {
    const at = pcm.indexOf(audio, end)
    assert.notStrictEqual(at, -1, "a piece is not what was sent, or not in order")
    end = at + audio.length
  }
  assert.strictEqual(end, pcm.length)
  for (const { audio, headers, query } of pieces) {
    assert.isAtMost(audio.length, 1.1 * bytesPerSecond)
    assert.strictEqual(headers["content-type"], "application/octet-stream")
    assert.deepStrictEqual(Object.fromEntries(query), {
      token: "abc",
      sample_rate: "8000",
      uid: "admin",
      conversation_id: "spoken",
      codec: "pcm16"
    })
  }
  for (const { audio, headers } of pieces) {
    const content = `${String(headers["webhook-id"])}.${String(headers["webhook-timestamp"])}.`
    const key = Buffer.from(secret.slice("whsec_".length), "base64")
    const signature = createHmac("sha256", key).update(content).update(audio).digest("base64")
    assert.strictEqual(headers["webhook-signature"], `v1,${signature}`)
  }
})

it("sends a slow endpoint the newest piece of each capture, and its other captures lose nothing by that", async () => {
  const [slow, fast] = [await receiver(1_500), await receiver()]
  await subscribe(slow.url)
  await subscribe(fast.url)
  const pcm = noise(16)
  await Promise.all([record("one", pcm, 4), record("two", pcm, 4)])
  const of = (pieces: ReadonlyArray<Piece>, conversation: string) =>
    pieces.filter(({ query }) => query.get("conversation_id") === conversation).map(({ audio }) => audio)
  const isLast = (audio: Buffer | undefined) => audio !== undefined && pcm.subarray(-audio.length).equals(audio)
  for (const conversation of ["one", "two"]) {
    await until(() => isLast(of(slow.pieces, conversation).at(-1)) && isLast(of(fast.pieces, conversation).at(-1)))
    const all = Buffer.concat(of(fast.pieces, conversation))
    assert.isTrue(pcm.subarray(-all.length).equals(all), conversation)
    assert.isAtLeast(all.length, 8 * bytesPerSecond)
    const received = of(slow.pieces, conversation)
    assert.isAtLeast(received.length, 2)
    assert.isBelow(received.length, of(fast.pieces, conversation).length)
    const places = received.map((audio) => pcm.indexOf(audio))
    assert.deepStrictEqual(
      places,
      places.toSorted((a, b) => a - b)
    )
  }
  const metrics = await (await fetch(`${server.url}/metrics`)).text()
  assert.match(metrics, /spillway_webhook_audio_total\{[^}]*outcome="superseded"[^}]*\} [1-9]/)
})

it("sends audio that its user does not store", async () => {
  const { pieces, url } = await receiver()
  await subscribe(url)
  await call("PUT", "/v1/users/admin/settings", { store_audio: false })
  onTestFinished(async () => void (await call("PUT", "/v1/users/admin/settings", { store_audio: null })))
  await new Promise((resolve) => setTimeout(resolve, 1_500))
  const { socket } = await openCaptureSocket(server, { query: `?sample_rate=${sampleRate}` })
  onTestFinished(() => socket.terminate())
  socket.send(switchTo("unstored"))
  const pcm = noise(10)
  while (pieces.length < 2) {
    for (const second of [0, 1]) socket.send(audioFrame(1_700_000_000 + second, pcm.subarray(0, bytesPerSecond)))
    await new Promise((resolve) => setTimeout(resolve, 200))
  }
  const response = await fetch(`${server.url}/v1/conversations/unstored`, {
    headers: { authorization: `Bearer ${server.key}` }
  })
  const found = JSON.parse(await response.text())
  assert.deepStrictEqual(found.audio_files ?? [], [])
})
