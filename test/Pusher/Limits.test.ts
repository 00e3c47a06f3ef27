/** Abuse of the capture socket of a real server: `src/Pusher/Http.ts`, `src/Pusher/Session.ts` and `src/Pusher/Sockets.ts`. */
import { connect, type Socket } from "node:net"
import { assert, it } from "@effect/vitest"
import { WebSocket } from "ws"
import { audioFrame, switchTo } from "../support/Capturer.ts"
import { openCaptureSocket } from "../support/CaptureSocket.ts"
import { fileServer } from "../support/TestServer.ts"

const server = fileServer({
  CONVERSATIONS_PER_MINUTE: "12",
  HEADERS_TIMEOUT: "1 second",
  PING_INTERVAL: "1 second",
  RECEIVE_TIMEOUT: "5 seconds",
  SPILLWAY_CAPTURES: "12",
  SPILLWAY_COMMIT_INTERVAL: "20 millis"
})

const start = 1_700_000_000
const second = Buffer.alloc(32_000, 1)

const open = (query: string) => openCaptureSocket(server, { query: `?${query}` })

const metric = async (pattern: RegExp) => {
  const text = await (await fetch(`${server.url}/metrics`)).text()
  return Number(pattern.exec(text)?.[1] ?? 0)
}
const seatsTaken = () => metric(/^spillway_bulkhead_active\{[^}]*bulkhead="captures"[^}]*\} (\d+)/m)

const until = async (holds: () => Promise<boolean>) => {
  while (!(await holds())) await new Promise((resolve) => setTimeout(resolve, 50))
}

const handshake = (uid: string, more = "") =>
  `GET /v1/trigger/listen?ack=1&uid=${uid} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${server.key}\r\n` +
  `Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n` +
  `Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n${more}\r\n`

/** A client without a WebSocket library: returns its socket and what it has received, once the server has answered. */
const raw = async (head: string) => {
  const socket: Socket = connect(Number(new URL(server.url).port), "127.0.0.1")
  let received = ""
  socket.on("data", (part) => (received += part.toString("latin1")))
  socket.on("error", () => {})
  const ended = new Promise<void>((resolve) => socket.once("close", () => resolve()))
  socket.write(head)
  if (head.endsWith("\r\n\r\n")) await new Promise((resolve) => socket.once("data", resolve))
  return { socket, ended, received: () => received }
}

it("closes one capture more than the node has with 1013, and frees the seats of those that leave", async () => {
  const all = await Promise.all(Array.from({ length: 12 }, (_, index) => open(`uid=seat-${index}`)))
  const one = await open("uid=seat-12")
  assert.deepStrictEqual(await one.closed, {
    code: 1013,
    reason: "Retry-After: 5; the node has 12 captures, as many as SPILLWAY_CAPTURES allows"
  })
  for (const { socket } of all) socket.terminate()
  await until(async () => (await seatsTaken()) === 0)
})

it("closes a message of thousands of one-byte fragments with 1008", async () => {
  const { closed, socket } = await open("uid=fragments")
  socket.send(switchTo("fragments"))
  for (let count = 0; count < 20_000; count++) socket.send(Buffer.of(101), { fin: false })
  assert.strictEqual((await closed).code, 1008)
})

it("negotiates no compression", async () => {
  const { received, socket } = await raw(
    handshake("deflate", "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n")
  )
  assert.match(received(), /^HTTP\/1\.1 101 /)
  assert.notMatch(received(), /sec-websocket-extensions/i)
  socket.destroy()
})

it("answers a handshake whose head arrives too slowly with 408, without a seat", async () => {
  const { ended, received, socket } = await raw("GET /v1/trigger/listen HTTP/1.1\r\nHost: x\r\n")
  const dribble = setInterval(() => socket.write("X"), 100)
  await ended
  clearInterval(dribble)
  assert.match(received(), /^HTTP\/1\.1 408 /)
})

it("closes a peer that answers pings only, and frees the seat of one that answers nothing", async () => {
  const pinging = new WebSocket(`${server.url.replace("http", "ws")}/v1/trigger/listen?uid=pongs`, {
    headers: { authorization: `Bearer ${server.key}` }
  })
  let pings = 0
  pinging.on("ping", () => pings++)
  const code = new Promise<number>((resolve) => pinging.once("close", resolve))
  // Neither reads nor answers, as behind a network that has gone.
  const { ended, socket } = await raw(handshake("gone"))
  socket.pause()
  assert.strictEqual(await code, 1011)
  assert.isAtLeast(pings, 2)
  await until(async () => (await seatsTaken()) === 0)
  socket.resume()
  await ended
})

it("cuts a peer that answers no ping long before its silence is too long", async () => {
  const unresponsive = () => metric(/^spillway_captures_unresponsive_total(?:\{[^}]*\})? (\d+)/m)
  const before = await unresponsive()
  const { ended, socket } = await raw(handshake("half-open"))
  socket.pause()
  await until(async () => (await unresponsive()) > before)
  await until(async () => (await seatsTaken()) === 0)
  socket.resume()
  await ended
})

it("closes a peer that floods it with pings or pongs with 1008", async () => {
  for (const kind of ["ping", "pong"] as const) {
    const { closed, socket } = await open(`uid=${kind}s`)
    for (let count = 0; count < 5_000 && socket.readyState === socket.OPEN; count++) socket[kind](Buffer.alloc(125))
    assert.deepStrictEqual(await closed, { code: 1008, reason: "too many messages a second" })
  }
})

it("answers pings with what they hold", async () => {
  const { closed, socket } = await open("uid=pinger")
  const pong = new Promise<Buffer>((resolve) => socket.once("pong", resolve))
  socket.ping("here")
  assert.strictEqual((await pong).toString(), "here")
  socket.close()
  await closed
})

it("closes a user who selects a thousand conversations in a minute with 1008, and no other user", async () => {
  const { closed, messages, socket } = await open("uid=many&ack=1")
  for (let count = 0; count < 1_000; count++) socket.send(switchTo(`many-${count}`))
  assert.deepStrictEqual(await closed, { code: 1008, reason: "too many conversations a minute" })
  assert.include(messages.at(-1)?.toString("utf8", 4), `"type":"limit"`)
  const again = await open("uid=many")
  again.socket.send(switchTo("many-0"))
  assert.strictEqual((await again.closed).code, 1008)
  await until(async () => (await metric(/^spillway_conversations_rejected_total(?:\{[^}]*\})? (\d+)/m)) === 2)
  const other = await open("uid=other&ack=1")
  other.socket.send(switchTo("other"))
  other.socket.send(audioFrame(start, second))
  await other.acknowledged(second.length)
  other.socket.close()
})
