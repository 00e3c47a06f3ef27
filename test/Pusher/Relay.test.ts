/** The relay of a real server, with an upstream pusher that answers, is down, or hangs. */
import { createServer, type Server as TcpServer } from "node:net"
import { assert, it } from "@effect/vitest"
import { onTestFinished } from "vitest"
import { type WebSocket, WebSocketServer } from "ws"
import { audioFrame, switchTo } from "../support/Capturer.ts"
import { openCaptureSocket } from "../support/CaptureSocket.ts"
import { freePort } from "../support/FreePort.ts"
import { testServer } from "../support/TestServer.ts"

const second = Buffer.alloc(32_000, 1)
const start = 1_700_000_000

const message = (opcode: number, json: unknown) => {
  const head = Buffer.alloc(4)
  head.writeUInt32LE(opcode)
  return Buffer.concat([head, Buffer.from(JSON.stringify(json))])
}

interface Upstream {
  readonly urls: Array<string>
  readonly keys: Array<string | undefined>
  readonly received: Array<{ readonly opcode: number; readonly json: unknown }>
  readonly sockets: Array<WebSocket>
}

/** Answers each 104 with a 201 of its own. */
const startUpstream = async (port: number): Promise<Upstream> => {
  const server = new WebSocketServer({ port, host: "127.0.0.1" })
  const upstream: Upstream = { urls: [], keys: [], received: [], sockets: [] }
  server.on("connection", (socket, request) => {
    upstream.urls.push(request.url ?? "")
    upstream.keys.push(request.headers.authorization)
    upstream.sockets.push(socket)
    socket.on("message", (data: Buffer) => {
      const opcode = data.readUInt32LE(0)
      upstream.received.push({ opcode, json: JSON.parse(data.toString("utf8", 4)) })
      if (opcode === 104) socket.send(message(201, { conversation_id: "talk", success: true, by: "upstream" }))
      socket.send(message(202, { by: "upstream" }))
    })
  })
  await new Promise((resolve) => server.once("listening", resolve))
  onTestFinished(() => {
    for (const client of server.clients) client.terminate()
    server.close()
  })
  return upstream
}

const until = async (holds: () => boolean | Promise<boolean>) => {
  while (!(await holds())) await new Promise((resolve) => setTimeout(resolve, 20))
}

const start201 = (messages: ReadonlyArray<Buffer>) => messages.filter((each) => each.readUInt32LE(0) === 201)

const serverBefore = async (port: number) =>
  testServer({
    SPILLWAY_COMMIT_INTERVAL: "20 millis",
    SPILLWAY_UPSTREAM_PUSHER: `http://omi:secret-of-upstream@127.0.0.1:${port}`
  })

const dropped = async ({ url }: { readonly url: string }) =>
  Number(/^spillway_relay_dropped_total (\d+)/m.exec(await (await fetch(`${url}/metrics`)).text())?.[1] ?? 0)

it("passes transcripts, finishes and speaker samples on, and the upstream's answer back", async () => {
  const port = await freePort()
  const upstream = await startUpstream(port)
  const server = await serverBefore(port)
  const capture = await openCaptureSocket(server, { query: "?ack=1&uid=ada&sample_rate=8000" })
  capture.socket.send(switchTo("talk"))
  capture.socket.send(audioFrame(start, second))
  const sent = [
    { opcode: 102, json: { segments: [{ text: "hello" }], memory_id: "talk" } },
    { opcode: 104, json: { conversation_id: "talk", byok_keys: { openai: "key" } } },
    { opcode: 105, json: { person_id: "p", conversation_id: "talk", segment_ids: ["s"] } }
  ]
  for (const { json, opcode } of sent) capture.socket.send(message(opcode, json))
  await capture.until((all) => start201(all).length > 0)
  await until(() => upstream.received.length === 3)
  assert.deepStrictEqual(upstream.received, sent)
  assert.deepStrictEqual(upstream.urls, ["/v1/trigger/listen?uid=ada&sample_rate=8000"])
  assert.deepStrictEqual(upstream.keys, [`Basic ${Buffer.from("omi:secret-of-upstream").toString("base64")}`])
  assert.deepStrictEqual(
    start201(capture.messages).map((each) => JSON.parse(each.toString("utf8", 4))),
    [{ conversation_id: "talk", success: true, by: "upstream" }]
  )
  assert.notInclude(server.output(), "secret-of-upstream")
  capture.socket.close()
})

it("keeps the latest 50 messages of a capture while the upstream is down, and sends them in order", async () => {
  const port = await freePort()
  const server = await serverBefore(port)
  const capture = await openCaptureSocket(server, { query: "?ack=1&audio_timeline=2" })
  capture.socket.send(switchTo("talk"))
  const count = 80
  for (let n = 0; n < count; n++) capture.socket.send(message(102, { segments: [], memory_id: `${n}` }))
  capture.socket.send(audioFrame(start, second))
  await capture.acknowledged(second.length)
  await until(() => /SPILLWAY_UPSTREAM_PUSHER can't be reached \(.*ECONNREFUSED/.test(server.output()))
  assert.notInclude(server.output(), "secret-of-upstream")
  // One of them may be waiting to be sent, and not in the queue any more.
  await until(async () => (await dropped(server)) >= count - 51)
  const upstream = await startUpstream(port)
  await until(() => upstream.received.length >= 50)
  const ids = upstream.received.map(({ json }) => Number(/"memory_id":"(\d+)"/.exec(JSON.stringify(json))?.[1]))
  assert.deepStrictEqual(
    ids.slice(-50),
    Array.from({ length: 50 }, (_, n) => count - 50 + n)
  )
  assert.strictEqual((await dropped(server)) + ids.length, count)
  capture.socket.close()
})

it("sends a message again when its socket breaks, and one that was sent just before the capture ended", async () => {
  const port = await freePort()
  const upstream = await startUpstream(port)
  const server = await serverBefore(port)
  const capture = await openCaptureSocket(server, { query: "?ack=1" })
  capture.socket.send(switchTo("talk"))
  capture.socket.send(message(102, { segments: [], memory_id: "first" }))
  await until(() => upstream.received.length === 1)
  for (const socket of upstream.sockets) socket.terminate()
  capture.socket.send(message(104, { conversation_id: "talk" }))
  capture.socket.close()
  await until(() => upstream.received.some(({ opcode }) => opcode === 104))
})

it("delays no audio while the upstream accepts connections and never answers", async () => {
  const port = await freePort()
  const hanging: TcpServer = createServer(() => {}).listen(port, "127.0.0.1")
  onTestFinished(() => void hanging.close())
  const server = await serverBefore(port)
  const capture = await openCaptureSocket(server, { query: "?ack=1&audio_timeline=2" })
  capture.socket.send(switchTo("talk"))
  capture.socket.send(message(102, { segments: [], memory_id: "talk" }))
  for (let at = 0; at < 20; at++) capture.socket.send(audioFrame(start + at, second))
  await capture.acknowledged(20 * second.length)
  capture.socket.close()
  await capture.closed
})
