/** What a session does with the memory that its messages arrive in, and with pings: `src/Pusher/Session.ts`. */
import { EventEmitter } from "node:events"
import { assert, it } from "@effect/vitest"
import type { WebSocket } from "ws"
import { Session, type SessionHost } from "../../src/Pusher/Session.ts"
import { audioFrame, switchTo } from "../support/Capturer.ts"

class FakeSocket extends EventEmitter {
  readonly isPaused = false
  readonly pause = () => {}
  readonly OPEN = 1
  readyState = 1
  bufferedAmount = 0
  readonly sent: Array<string> = []
  ping() {
    this.sent.push("ping")
  }
  pong() {
    this.sent.push("pong")
  }
  terminate() {
    this.sent.push("cut")
  }
}

const host: SessionHost = {
  now: () => 0,
  received: { frames: 0, bytes: 0, ignored: 0, unstored: 0, unresponsive: 0 },
  handler: () => undefined,
  relay: undefined,
  died: () => {},
  maySelect: () => true,
  audio: { append: () => {}, flush: () => {} },
  storesAudio: () => true,
  fed: () => {},
  findRecent: () => {},
  admit: () => {}
}

/** A session that has received the message, and what it recorded. */
const sessionOf = (on: SessionHost = host) => {
  const socket = new FakeSocket()
  const options = { uid: "u", framesPerSecond: 200, receiveTimeoutMillis: 1e6, acks: "none", codec: "pcm16" } as const
  const session = new Session(socket as unknown as WebSocket, options, on)
  const recorded: Array<Uint8Array> = []
  session.start({
    append: (_, audio) => {
      recorded.push(Uint8Array.from(audio))
      return "ok"
    },
    switchTo: () => {}
  })
  return { session, socket, recorded, receive: (message: Buffer) => socket.emit("message", message, true) }
}

/** Bytes as the system returns them: alone in their memory. */
const packet = (...parts: ReadonlyArray<Uint8Array>): Buffer => {
  const bytes = Buffer.from(new ArrayBuffer(parts.reduce((sum, { length }) => sum + length, 0)))
  let at = 0
  for (const part of parts) {
    bytes.set(part, at)
    at += part.length
  }
  return bytes
}

const head = (payload: number) => Buffer.alloc(payload < 126 ? 6 : payload < 65_536 ? 8 : 14)

/** A message, and the packet that has it alone in one frame: its payload is a view, as in `ws`. */
const framed = (samples: number) => {
  const message = audioFrame(1_700_000_000, new Uint8Array(samples * 2).fill(7))
  const bytes = packet(head(message.length), message)
  return { bytes, message: bytes.subarray(head(message.length).length) }
}

for (const samples of [4, 1_600, 100_000])
  it(`frees what a message was received with at once: ${samples} samples`, () => {
    const { receive, recorded, session } = sessionOf()
    const { bytes, message } = framed(samples)
    receive(message)
    session.arrived(bytes)
    assert.strictEqual(bytes.length, 0)
    assert.deepStrictEqual(recorded, [new Uint8Array(samples * 2).fill(7)])
  })

it("leaves the beginning of the next message, and what came before the message", () => {
  const { receive, session } = sessionOf()
  const { bytes: one } = framed(1_600)
  const followed = packet(one, Buffer.from([0x82]))
  receive(followed.subarray(8, one.length))
  session.arrived(followed)
  assert.strictEqual(followed.length, one.length + 1)
  const ping = Buffer.from([0x89, 0x81, 0, 0, 0, 0, 1])
  const preceded = packet(ping, one)
  receive(preceded.subarray(ping.length + 8))
  session.arrived(preceded)
  assert.strictEqual(preceded.length, ping.length + one.length)
})

it("leaves memory that holds more than the packet, and a packet whose message was put together elsewhere", () => {
  const { receive, session } = sessionOf()
  const { bytes, message } = framed(1_600)
  const pool = packet(bytes, bytes)
  const first = pool.subarray(0, bytes.length)
  receive(first.subarray(8))
  session.arrived(first)
  assert.strictEqual(pool.length, 2 * bytes.length)
  receive(packet(message))
  session.arrived(bytes)
  assert.isAbove(bytes.length, 0)
})

it("frees nothing twice when bytes without a message follow", () => {
  const { receive, session } = sessionOf()
  const { bytes, message } = framed(1_600)
  receive(message)
  session.arrived(bytes)
  const next = framed(1_600)
  session.arrived(next.bytes)
  assert.strictEqual(next.bytes.length, next.message.length + 8)
})

it("cuts a peer that sends nothing after two pings, and none that sends any bytes", () => {
  const { session, socket } = sessionOf()
  for (let ping = 0; ping < 4; ping++) {
    session.check(true)
    session.arrived(Buffer.of(0x8a))
  }
  assert.deepStrictEqual(socket.sent, ["ping", "ping", "ping", "ping"])
  for (let ping = 0; ping < 3; ping++) session.check(true)
  assert.deepStrictEqual(socket.sent.slice(4), ["ping", "ping", "cut"])
})

it("answers pings while the peer reads the answers", () => {
  const { socket } = sessionOf()
  socket.emit("ping", Buffer.of(1))
  socket.bufferedAmount = 65 * 1024
  socket.emit("ping", Buffer.of(1))
  assert.deepStrictEqual(socket.sent, ["pong"])
})

it("records on when a live sink throws", () => {
  const causes: Array<unknown> = []
  const fail = () => {
    throw new Error("a defect of a sink")
  }
  const died = (cause: unknown) => causes.push(cause)
  const { receive, recorded, session } = sessionOf({ ...host, died, audio: { append: fail, flush: fail } })
  receive(switchTo("c"))
  receive(audioFrame(1_700_000_000, new Uint8Array(320)))
  receive(switchTo("d"))
  session.stop()
  assert.strictEqual(recorded.length, 1)
  assert.strictEqual(causes.length, 3)
})
