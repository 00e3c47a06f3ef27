/** What a session does with messages, pings and defects of sinks: `src/Pusher/Session.ts`. */
import { EventEmitter } from "node:events"
import { assert, it } from "@effect/vitest"
import type { WebSocket } from "ws"
import { Session, type SessionHost } from "../../src/Pusher/Session.ts"
import { audioFrame, switchTo } from "../support/Capturer.ts"
import { framed } from "./support/Frames.ts"

class FakeSocket extends EventEmitter {
  isPaused = false
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
  pause() {
    this.isPaused = true
  }
  resume() {
    this.isPaused = false
  }
  close() {
    this.readyState = 2
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
  let hasConversation = false
  session.start({
    append: (_, audio) => {
      if (!hasConversation) return "refused"
      recorded.push(Uint8Array.from(audio))
      return "ok"
    },
    switchTo: () => void (hasConversation = true)
  })
  return { session, socket, recorded, receive: (message: Buffer) => socket.emit("message", message, true) }
}

for (const samples of [4, 1_600, 100_000])
  it(`records a message before its memory is freed: ${samples} samples`, () => {
    const { receive, recorded, session } = sessionOf()
    const { bytes, message } = framed(samples)
    receive(switchTo("c"))
    receive(message)
    session.arrived(bytes)
    assert.strictEqual(bytes.length, 0)
    assert.deepStrictEqual(recorded, [new Uint8Array(samples * 2).fill(7)])
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

it("finds the latest conversation of a user whose audio is not stored, for the live sinks", () => {
  const live: Array<string> = []
  const fed: Array<string> = []
  let at = 0
  const { receive, recorded } = sessionOf({
    ...host,
    now: () => at,
    received: { frames: 0, bytes: 0, ignored: 0, unstored: 0, unresponsive: 0 },
    storesAudio: () => false,
    audio: { append: (conversation, audio) => live.push(`${conversation}: ${audio.length}`), flush: () => {} },
    fed: (conversation) => fed.push(conversation),
    findRecent: (found) => found("latest")
  })
  receive(audioFrame(1_700_000_000, new Uint8Array(320)))
  at = 61_000
  receive(audioFrame(1_700_000_061, new Uint8Array(640)))
  assert.deepStrictEqual(live, ["latest: 320", "latest: 640"])
  assert.deepStrictEqual(fed, ["latest", "latest"])
  assert.strictEqual(recorded.length, 0)
})

it("keeps a socket open whose audio is neither stored nor of a known conversation", () => {
  const received = { frames: 0, bytes: 0, ignored: 0, unstored: 0, unresponsive: 0 }
  const { receive, socket } = sessionOf({
    ...host,
    received,
    storesAudio: () => false,
    findRecent: (found) => found(undefined)
  })
  receive(audioFrame(1_699_999_000, new Uint8Array(100_000)))
  for (let frame = 0; frame < 100; frame++) receive(audioFrame(1_700_000_000 + frame, new Uint8Array(3_200)))
  assert.strictEqual(socket.readyState, socket.OPEN)
  assert.strictEqual(received.unstored, 100_000 + 100 * 3_200)
})

it("reads a socket on that is closed while held audio and selections are passed on", () => {
  const socket = new FakeSocket()
  const options = { uid: "u", framesPerSecond: 200, receiveTimeoutMillis: 1e6, acks: "none", codec: "pcm16" } as const
  let found: Parameters<SessionHost["findRecent"]>[0] = () => {}
  const findRecent: SessionHost["findRecent"] = (later) => (found = later)
  const session = new Session(socket as unknown as WebSocket, options, { ...host, findRecent })
  let isSelected = false
  session.start({
    append: () => {
      if (!isSelected) return "refused"
      session.onFailure({ _tag: "BacklogFull" })
      return "full"
    },
    switchTo: () => (isSelected = true)
  })
  socket.emit("message", audioFrame(1, Buffer.alloc(320)), true)
  socket.emit("message", switchTo("next"), true)
  found("recent")
  assert.deepStrictEqual([socket.readyState, socket.isPaused], [2, false])
})

it("never stores what was received without consent, also if it waited for its conversation until there was consent", () => {
  let storesAudio = false
  const { receive, recorded } = sessionOf({
    ...host,
    received: { frames: 0, bytes: 0, ignored: 0, unstored: 0, unresponsive: 0 },
    storesAudio: () => storesAudio,
    findRecent: (found) => found(undefined)
  })
  receive(audioFrame(1_700_000_000, new Uint8Array(320)))
  storesAudio = true
  receive(switchTo("c"))
  receive(audioFrame(1_700_000_001, new Uint8Array(640)))
  assert.deepStrictEqual(
    recorded.map(({ length }) => length),
    [640]
  )
})
