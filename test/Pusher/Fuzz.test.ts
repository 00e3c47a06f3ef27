/**
 * Random and hostile input of the capture socket: `src/Pusher/Protocol.ts` and `src/Pusher/Session.ts` in this process, and frames
 * on the wire of a real server. `npm run fuzz` repeats it with other seeds.
 */
import { EventEmitter } from "node:events"
import { connect, type Socket } from "node:net"
import { assert, it } from "@effect/vitest"
import type { WebSocket } from "ws"
import * as Protocol from "../../src/Pusher/Protocol.ts"
import { type ReceivedTotals, Session, type SessionHost } from "../../src/Pusher/Session.ts"
import type { CaptureFailure } from "../../src/Recording.ts"
import { random } from "../Recording/support/OpusPackets.ts"
import { audioFrame, switchTo } from "../support/Capturer.ts"
import { openCaptureSocket } from "../support/CaptureSocket.ts"
import { seed } from "../support/Seed.ts"
import { fileServer } from "../support/TestServer.ts"
import { anyMessage, below, messagesOf, type Next, pick } from "./support/Messages.ts"

const messagesInProcess = 300_000
const connectionsOnTheWire = 300

/** Close codes of docs/protocol.md. */
const tableCodes = [1001, 1003, 1008, 1009, 1011, 1013]

/** Cheaper than an assertion. */
const expectThat = (holds: boolean, promise: string) => {
  if (!holds) assert.fail(promise)
}

const failures: ReadonlyArray<CaptureFailure> = [
  { _tag: "NotWritten", cause: new Error("the disk is full") },
  { _tag: "BacklogFull" },
  { _tag: "ConversationFull" },
  { _tag: "TooManyChunks" },
  { _tag: "Superseded" },
  { _tag: "Purged" }
]

/** What a session uses of `ws`, with the rules that `ws` enforces by throwing. */
class FakeSocket extends EventEmitter {
  readonly OPEN = 1
  readyState = 1
  isPaused = false
  bufferedAmount = 0
  closedWith: number | undefined
  sent = 0

  close(code: number, reason: string) {
    expectThat(Buffer.byteLength(reason) <= 123, `the reason fits into a close frame: ${reason}`)
    expectThat(tableCodes.includes(code), `the code is of the table: ${code}`)
    this.closedWith ??= code
    this.readyState = 2
  }
  pause() {
    this.isPaused = true
  }
  resume() {
    this.isPaused = false
  }
  ping() {
    expectThat(this.readyState === this.OPEN, "an open socket is pinged")
  }
  pong() {
    expectThat(this.readyState === this.OPEN && this.bufferedAmount <= 64 * 1024, "pings of who reads are answered")
  }
  terminate() {
    this.readyState = 3
  }
  send(message: Buffer) {
    expectThat(message.readUInt32LE(0) > 200, "what is sent has an opcode of the server")
    this.sent++
  }
}

interface Node {
  time: number
  /** Large messages that wait for their turn, and permits that were not returned. */
  readonly turns: Array<() => void>
  permits: number
}

const fakeSession = (next: Next, node: Node) => {
  const socket = new FakeSocket()
  const received: ReceivedTotals = { frames: 0, bytes: 0, ignored: 0, unstored: 0, unresponsive: 0 }
  const searches: Array<() => void> = []
  const host: SessionHost = {
    now: () => node.time,
    received,
    handler: () => (sender, text) => {
      if (next() < 0.01) throw new Error("a defect of a handler")
      if (next() < 0.3) sender.send(Protocol.withJson(pick(next, [201, 204]), { of: sender.conversation() ?? null }))
      return text.length > 2
    },
    relay: next() < 0.5 ? undefined : () => {},
    died: (cause) => expectThat(cause instanceof Error, "a defect has its cause"),
    maySelect: () => next() < 0.99,
    audio: {
      append: () => {
        if (next() < 0.01) throw new Error("a defect of a sink")
      },
      flush: () => {}
    },
    storesAudio: () => next() < 0.9,
    fed: (conversation) => expectThat(conversation.length > 0, "a conversation has an id"),
    findRecent: (found) => searches.push(() => found(next() < 0.5 ? "recent" : undefined)),
    admit: (admitted) =>
      node.turns.push(() => {
        let isHeld = true
        node.permits++
        admitted(() => {
          expectThat(isHeld, "a permit is returned once")
          isHeld = false
          node.permits--
        })
      })
  }
  const codec = pick(next, ["pcm16", "opus"] as const)
  const acks = pick(next, ["disk", "store", "none"] as const)
  const options = { uid: "u", framesPerSecond: 200, receiveTimeoutMillis: 300_000, acks, codec }
  const session = new Session(socket as unknown as WebSocket, options, host)
  let selected: string | undefined
  session.start({
    append: (start, audio) => {
      expectThat(socket.closedWith === undefined, "what arrives after the close is not recorded")
      expectThat(start >= 0 && audio.length > 0, "audio has a start and samples")
      if (selected === undefined) return "refused"
      return next() < 0.9 ? "ok" : "full"
    },
    switchTo: (conversation) => (selected = conversation)
  })
  return { received, searches, session, socket }
}

/** Runs what the node does at any time: acknowledgements, room, failures, turns, searches, the clock. */
const something = (next: Next, node: Node, { searches, session, socket }: ReturnType<typeof fakeSession>) => {
  switch (below(next, 12)) {
    case 0:
      return session.arrived(Buffer.allocUnsafe(below(next, 200_000)))
    case 1:
      return node.turns.shift()?.()
    case 2:
      return searches.shift()?.()
    case 3:
      return session.onAck({ conversation: "a", through: next() * 2e9, bytes: 2, stored: next() < 0.5 ? 1 : undefined })
    case 4:
      socket.bufferedAmount = below(next, 100_000)
      return
    case 5:
      return session.onShift(next() * 100 - 50)
    case 6:
      return next() < 0.04 ? session.onFailure(pick(next, failures)) : undefined
    case 7:
      node.time += next() < 0.002 ? 301_000 : below(next, 500)
      return session.check(next() < 0.5)
    case 8:
      if (next() < 0.5) return socket.emit(pick(next, ["ping", "pong"]), Buffer.alloc(below(next, 126)))
      return next() < 0.01 ? session.answer(Protocol.withJson(201, {})) : undefined
    default:
      return session.onRoom()
  }
}

it("survives any messages in any order, closes with a code of the table, and returns every permit", () => {
  const next = random(seed)
  const anyOf = messagesOf(next)
  const node: Node = { time: 0, turns: [], permits: 0 }
  const closes = new Map<number | undefined, number>()
  for (let sent = 0; sent < messagesInProcess;) {
    const fake = fakeSession(next, node)
    const { received, session, socket } = fake
    const length = 1 + below(next, 200)
    // A few messages that have been read follow a pause and a close.
    for (let at = 0, after = 0; at < length && after < 5; at++) {
      if (next() < 0.3) something(next, node, fake)
      if (socket.isPaused && next() < 0.7) session.onRoom()
      const isBinary = next() > 0.001
      socket.emit("message", anyOf(), isBinary)
      if (socket.closedWith !== undefined) after++
      node.time += 5
      sent++
    }
    expectThat(received.ignored <= received.frames, "messages are ignored once")
    closes.set(socket.closedWith, (closes.get(socket.closedWith) ?? 0) + 1)
    session.stop()
    if (next() < 0.5) something(next, node, fake)
  }
  for (const turn of node.turns) turn()
  assert.strictEqual(node.permits, 0)
  // Each way to end was taken, so that none of them is untested.
  for (const code of [undefined, 1003, 1008, 1011, 1013]) assert.isAbove(closes.get(code) ?? 0, 0, String(code))
})

it("decodes any bytes without an exception", () => {
  const next = random(seed + 1)
  const anyOf = messagesOf(next)
  for (let count = 0; count < messagesInProcess; count++) {
    const inbound = Protocol.decode(anyOf(), next() < 0.5 ? "pcm16" : "opus")
    if (inbound._tag === "Malformed") expectThat(Buffer.byteLength(inbound.reason) <= 123, inbound.reason)
  }
})

const server = fileServer({
  AUDIO_BYTES: "300 kB",
  LARGE_MESSAGE_TIMEOUT: "1 second",
  SPILLWAY_CAPTURES_PER_USER: "100",
  SPILLWAY_COMMIT_INTERVAL: "20 millis"
})

/** A frame as on the wire, masked with zeros. `length` may differ from what follows. */
const wire = (first: number, payload: Uint8Array, length = payload.length, mask = 0x80) => {
  const size = length < 126 ? 2 : length < 65_536 ? 4 : 10
  const head = Buffer.alloc(size + (mask === 0 ? 0 : 4))
  head[0] = first
  head[1] = mask | (size === 2 ? length : size === 4 ? 126 : 127)
  if (size === 4) head.writeUInt16BE(length, 2)
  if (size === 10) head.writeBigUInt64BE(BigInt(length), 2)
  return Buffer.concat([head, payload])
}

const fragments = (next: Next, whole: Buffer, size: number) => {
  const parts: Array<Buffer> = []
  for (let at = 0; at < whole.length; at += size) {
    const isLast = at + size >= whole.length
    parts.push(wire((isLast ? 0x80 : 0) | (at === 0 ? 2 : 0), whole.subarray(at, at + size)))
    if (next() < 0.1) parts.push(wire(pick(next, [0x89, 0x8a]), Buffer.alloc(below(next, 126))))
  }
  return Buffer.concat(parts)
}

const clientCodes = [0, 999, 1000, 1005, 1015, 2999, 4000, 65_535]
const closeCode = (code: number) => Buffer.of(code >> 8, code & 255)

const onTheWire = (next: Next, time: number): Buffer => {
  const whole = anyMessage(next, time)
  switch (below(next, 24)) {
    case 0:
      return fragments(next, whole, 1 + below(next, 50))
    case 1:
      return fragments(next, Buffer.concat([whole, Buffer.alloc(20_000)]), 1)
    case 2:
      return wire(below(next, 256), whole.subarray(0, 125))
    case 3:
      return wire(0x82, whole, pick(next, [whole.length + 1, 300_013, 2 ** 31, 2 ** 52]))
    case 4:
      return wire(0x82, whole, whole.length, 0)
    case 5:
      return wire(0x81, whole)
    case 6:
      return wire(0x88, Buffer.from([...closeCode(pick(next, clientCodes)), ...whole.subarray(0, below(next, 120))]))
    case 7:
      return wire(0x82, audioFrame(time, Buffer.alloc(200_000 + 2 * below(next, 60_000))))
    default:
      return wire(0x82, whole)
  }
}

/** The code of the server's close frame; undefined if it sent none. */
const closeCodeIn = (received: Buffer): number | undefined => {
  for (let at = 0; at + 2 <= received.length;) {
    const short = (received[at + 1] ?? 0) & 0x7f
    const head = short === 126 ? 4 : 2
    if (((received[at] ?? 0) & 15) === 8) return short >= 2 ? received.readUInt16BE(at + head) : undefined
    at += head + (short === 126 ? received.readUInt16BE(at + 2) : short)
  }
  return undefined
}

const exchange = (next: Next, index: number) =>
  new Promise<number | undefined>((resolve) => {
    const socket: Socket = connect(Number(new URL(server.url).port), "127.0.0.1")
    const parts: Array<Buffer> = []
    const codec = pick(next, ["pcm16", "opus"])
    socket.write(
      `GET /v1/trigger/listen?ack=1&audio_timeline=2&codec=${codec}&uid=fuzz-${index % 10} HTTP/1.1\r\nHost: x\r\n` +
        `Authorization: Bearer ${server.key}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
        `Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n`
    )
    if (next() < 0.8) socket.write(wire(0x82, switchTo(`fuzz-${below(next, 5)}`)))
    for (let count = below(next, 20); count > 0; count--) socket.write(onTheWire(next, 1_700_000_000 + count))
    // Some leave without a word, in the middle of a frame; the others close.
    if (next() < 0.3) setTimeout(() => socket.destroy(), below(next, 50))
    else socket.write(wire(0x88, Buffer.of(3, 232)))
    const late = setTimeout(() => socket.destroy(), 4_000)
    socket.on("data", (part) => parts.push(part))
    socket.on("error", () => {})
    socket.on("close", () => {
      clearTimeout(late)
      const received = Buffer.concat(parts)
      const end = received.indexOf("\r\n\r\n")
      resolve(end === -1 ? undefined : closeCodeIn(received.subarray(end + 4)))
    })
  })

const gauge = async (pattern: RegExp) => {
  const text = await (await fetch(`${server.url}/metrics`)).text()
  return Number(pattern.exec(text)?.[1] ?? Number.NaN)
}

it("survives any frames on the wire, closes with a code of the table, and leaves no capture and no permit behind", async () => {
  const next = random(seed + 2)
  /** Breaches of RFC 6455, and codes of the client, which are sent back. */
  const others = [1000, 1002, 1007, 4000]
  const seen = new Set<number | undefined>()
  for (let done = 0; done < connectionsOnTheWire; done += 20) {
    const codes = await Promise.all(Array.from({ length: 20 }, (_, index) => exchange(next, done + index)))
    for (const code of codes) {
      seen.add(code)
      if (code !== undefined) assert.include([...tableCodes, ...others], code)
    }
  }
  for (const code of [1003, 1009]) assert.isTrue(seen.has(code), `none was closed with ${code}`)
  const bulkhead = (name: string) =>
    gauge(new RegExp(`^spillway_bulkhead_active\\{[^}]*bulkhead="${name}"[^}]*\\} (\\d+)`, "m"))
  const isEmpty = async () =>
    (await gauge(/^spillway_captures(?:\{[^}]*\})? (\d+)/m)) === 0 &&
    (await bulkhead("captures")) === 0 &&
    (await bulkhead("large messages")) === 0
  while (!(await isEmpty())) await new Promise((resolve) => setTimeout(resolve, 100))
  const { acknowledged, closed, socket } = await openCaptureSocket(server, { query: "?ack=1&uid=after" })
  socket.send(switchTo("after"))
  socket.send(audioFrame(1_700_000_000, Buffer.alloc(3_200, 1)))
  await acknowledged(3_200)
  socket.close()
  await closed
  assert.notMatch(server.output(), /unexpectedly|defect|uncaught|Unhandled|TypeError|RangeError/i)
})
