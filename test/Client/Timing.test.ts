/** The times of `src/Client`, with a clock and a socket that the test moves. */
import { afterEach, assert, beforeEach, it } from "@effect/vitest"
import { vi } from "vitest"
import { CaptureClient, type ClientOptions, type WebSocketLike } from "../../src/Client.ts"

const start = 1_700_000_000

type Listener = Parameters<WebSocketLike["addEventListener"]>[1]

class FakeSocket implements WebSocketLike {
  static opened: Array<FakeSocket> = []
  binaryType = "blob"
  readyState = 0
  bufferedAmount = 0
  readonly sent: Array<Uint8Array> = []
  readonly headers: Record<string, string>
  #listeners = new Map<string, Array<Listener>>()

  constructor(_url: string, _protocols: Array<string>, { headers }: { headers: Record<string, string> }) {
    this.headers = headers
    FakeSocket.opened.push(this)
  }

  static get last(): FakeSocket {
    const last = FakeSocket.opened.at(-1)
    if (last === undefined) throw new Error("there is no socket")
    return last
  }

  addEventListener(type: string, listener: Listener) {
    this.#listeners.set(type, [...(this.#listeners.get(type) ?? []), listener])
  }

  #emit(event: Parameters<Listener>[0]) {
    for (const listener of this.#listeners.get(event.type) ?? []) listener(event)
  }

  send(message: Uint8Array) {
    this.sent.push(message)
  }

  close() {
    this.readyState = 2
  }

  open() {
    this.readyState = 1
    this.#emit({ type: "open" })
  }

  receive(opcode: number, json: object) {
    const text = new TextEncoder().encode(JSON.stringify(json))
    const data = new Uint8Array(4 + text.length)
    new DataView(data.buffer).setUint32(0, opcode, true)
    data.set(text, 4)
    this.#emit({ type: "message", data: data.buffer })
  }

  closeWith(code: number, reason = "") {
    this.readyState = 3
    this.#emit({ type: "close", code, reason })
  }

  get opcodes() {
    return this.sent.map((message) => new DataView(message.buffer).getUint32(0, true))
  }
}

beforeEach(() => {
  FakeSocket.opened = []
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "setInterval", "clearInterval", "performance"] })
})
afterEach(() => {
  vi.useRealTimers()
})

const connect = async (options: Partial<ClientOptions> = {}) => {
  const given = { url: "ws://x", key: "k", conversation: "talk", WebSocket: FakeSocket, ...options }
  const client = new CaptureClient(given)
  await vi.advanceTimersByTimeAsync(0)
  FakeSocket.last.open()
  return client
}

it("sends a heartbeat when it has sent nothing for 30 seconds, and only then", async () => {
  const client = await connect()
  assert.deepStrictEqual(FakeSocket.last.opcodes, [103])
  await vi.advanceTimersByTimeAsync(29_000)
  client.send(start, new Uint8Array(2))
  FakeSocket.last.receive(203, { conversation_id: "talk", through: start, bytes: 2 })
  await vi.advanceTimersByTimeAsync(29_000)
  assert.deepStrictEqual(FakeSocket.last.opcodes, [103, 101])
  await vi.advanceTimersByTimeAsync(2_000)
  assert.deepStrictEqual(FakeSocket.last.opcodes, [103, 101, 100])
  await vi.advanceTimersByTimeAsync(600_000)
  assert.strictEqual(FakeSocket.last.opcodes.filter((opcode) => opcode === 100).length, 21)
  assert.strictEqual(FakeSocket.opened.length, 1)
})

it("doubles its pause up to the bound, with jitter, until there is progress", async () => {
  const client = await connect({ backoffMillis: 100, maxBackoffMillis: 1_000 })
  client.send(start, new Uint8Array(2))
  const pauses: Array<number> = []
  for (let turn = 0; turn < 7; turn++) {
    FakeSocket.last.closeWith(1006)
    await vi.advanceTimersByTimeAsync(0)
    assert.strictEqual(client.status.state, "waiting")
    pauses.push(client.status.retryMillis)
    await vi.advanceTimersByTimeAsync(client.status.retryMillis)
    FakeSocket.last.open()
  }
  for (const [turn, pause] of pauses.entries()) {
    const middle = Math.min(1_000, 100 * 2 ** turn)
    assert.isTrue(pause >= 0.8 * middle && pause <= 1.2 * middle, `pause ${turn} is ${pause} ms`)
  }
  assert.isAbove(new Set(pauses.map((pause, turn) => pause / Math.min(1_000, 100 * 2 ** turn))).size, 1)
  FakeSocket.last.receive(203, { conversation_id: "talk", through: start, bytes: 2 })
  FakeSocket.last.closeWith(1011, "the audio could not be written")
  await vi.advanceTimersByTimeAsync(0)
  assert.isAtMost(client.status.retryMillis, 120)
})

it("does not hurry back to a node that drains each connection", async () => {
  const client = await connect({ backoffMillis: 100 })
  FakeSocket.last.closeWith(1001)
  await vi.advanceTimersByTimeAsync(0)
  assert.strictEqual(FakeSocket.opened.length, 2)
  FakeSocket.last.open()
  FakeSocket.last.closeWith(1001)
  await vi.advanceTimersByTimeAsync(0)
  assert.deepStrictEqual([client.status.state, FakeSocket.opened.length], ["waiting", 2])
  assert.isAtLeast(client.status.retryMillis, 160)
})

it("waits as long as a timer can, where the server asks for more", async () => {
  const client = await connect({ maxRetryAfterMillis: Infinity })
  FakeSocket.last.closeWith(1013, "Retry-After: 999999999; the node is full")
  await vi.advanceTimersByTimeAsync(1_000)
  assert.deepStrictEqual([client.status.retryMillis, FakeSocket.opened.length], [2 ** 31 - 1, 1])
  void client.close({ deadlineMillis: 0 })
})

it("leaves a draining node that does not close, sends it nothing more, and takes its last acknowledgement", async () => {
  const client = await connect()
  client.send(start, new Uint8Array(2))
  FakeSocket.last.receive(204, { type: "draining", detail: "the server is stopping" })
  client.send(start + 1, new Uint8Array(4))
  FakeSocket.last.receive(203, { conversation_id: "talk", through: start, bytes: 2 })
  await vi.advanceTimersByTimeAsync(9_900)
  assert.deepStrictEqual([FakeSocket.last.opcodes, client.totals.unacknowledged], [[103, 101], 4])
  assert.strictEqual(FakeSocket.opened.length, 1)
  await vi.advanceTimersByTimeAsync(300)
  assert.strictEqual(FakeSocket.opened.length, 2)
  FakeSocket.last.open()
  assert.deepStrictEqual(FakeSocket.last.opcodes, [103, 101])
})

it("sends no more than the rate and the socket's buffer allow", async () => {
  const client = await connect({ messagesPerSecond: 10, socketBytes: 100, patienceMillis: 60_000 })
  for (let at = 0; at < 100; at++) client.send(start + at, new Uint8Array(2))
  assert.strictEqual(FakeSocket.last.sent.length, 10)
  await vi.advanceTimersByTimeAsync(1_000)
  assert.approximately(FakeSocket.last.sent.length, 20, 1)
  FakeSocket.last.bufferedAmount = 101
  const before = FakeSocket.last.sent.length
  await vi.advanceTimersByTimeAsync(5_000)
  assert.strictEqual(FakeSocket.last.sent.length, before)
  FakeSocket.last.bufferedAmount = 100
  await vi.advanceTimersByTimeAsync(100)
  assert.strictEqual(FakeSocket.last.sent.length, before + 10)
})

it("reports acknowledgements and notices as the server sends them, and ignores messages that it doesn't know", async () => {
  const seen: Array<unknown> = []
  await connect({ onAcknowledgement: (each) => seen.push(each), onNotice: (each) => seen.push(each) })
  const { last } = FakeSocket
  assert.deepStrictEqual(last.headers, { authorization: "Bearer k" })
  last.receive(202, { type: "audio_timeline_ack", version: 2 })
  last.receive(203, { conversation_id: "talk", through: start, bytes: 2, stored: start - 1 })
  last.receive(203, { conversation_id: "talk", through: start + 1, bytes: 4 })
  last.receive(203, { conversation_id: "talk" })
  last.receive(204, { type: "clock", shift: 1.5, detail: "later" })
  last.receive(204, { type: "limit", stored: false, detail: "not stored" })
  last.receive(299, {})
  assert.deepStrictEqual(seen, [
    { conversation: "talk", through: start, bytes: 2, stored: start - 1 },
    { conversation: "talk", through: start + 1, bytes: 4, stored: undefined },
    { type: "clock", shift: 1.5, detail: "later", isUnstored: false },
    { type: "limit", shift: undefined, detail: "not stored", isUnstored: true }
  ])
})

it("connects anew when the server has left a conversation without acknowledging its end", async () => {
  const client = await connect({ backoffMillis: 100 })
  client.send(start, new Uint8Array(2))
  client.switchTo("other")
  client.send(start, new Uint8Array(4))
  assert.deepStrictEqual(FakeSocket.last.opcodes, [103, 101, 103, 101])
  FakeSocket.last.receive(203, { conversation_id: "other", through: start, bytes: 4 })
  await vi.advanceTimersByTimeAsync(120)
  assert.strictEqual(FakeSocket.opened.length, 2)
  FakeSocket.last.open()
  assert.deepStrictEqual(FakeSocket.last.opcodes, [103, 101])
  FakeSocket.last.receive(203, { conversation_id: "talk", through: start, bytes: 2 })
  assert.strictEqual((await client.close()).cause, "complete")
})

it("returns to a conversation on another connection, at once, when the audio before is acknowledged", async () => {
  const client = await connect()
  for (const [conversation, bytes] of [
    ["talk", 2],
    ["other", 4],
    ["talk", 6]
  ] as const) {
    client.switchTo(conversation)
    client.send(start, new Uint8Array(bytes))
  }
  assert.deepStrictEqual(FakeSocket.last.opcodes, [103, 101, 103, 101])
  FakeSocket.last.receive(203, { conversation_id: "talk", through: start, bytes: 2 })
  FakeSocket.last.receive(203, { conversation_id: "other", through: start, bytes: 4 })
  await vi.advanceTimersByTimeAsync(1)
  assert.strictEqual(FakeSocket.opened.length, 2)
  FakeSocket.last.open()
  assert.deepStrictEqual(FakeSocket.last.opcodes, [103, 101])
  FakeSocket.last.receive(203, { conversation_id: "talk", through: start, bytes: 6 })
  assert.strictEqual((await client.close()).cause, "complete")
})
