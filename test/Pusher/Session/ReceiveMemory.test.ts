/** What is freed of received messages, and the turns of large ones: `src/Pusher/Session/ReceiveMemory.ts`. */
import { assert, it } from "@effect/vitest"
import { ReceiveMemory } from "../../../src/Pusher/Session/ReceiveMemory.ts"
import { framed, packet } from "../support/Frames.ts"

const memoryOf = () =>
  new ReceiveMemory(
    () => {},
    () => {}
  )

/** A message that has arrived in part and is large, and the turn that it waits for. */
const largeMessage = () => {
  const waits: Array<boolean> = []
  let turns = 0
  let admitted: ((done: () => void) => void) | undefined
  const memory = new ReceiveMemory(
    (admit) => (admitted = admit),
    (isWaiting) => waits.push(isWaiting)
  )
  memory.arrived(Buffer.alloc(128 * 1024))
  assert.deepStrictEqual(waits, [])
  memory.arrived(Buffer.alloc(1))
  const begin = () => {
    turns++
    admitted?.(() => turns--)
  }
  return { memory, waits, begin, turns: () => turns }
}

it("leaves the beginning of the next message, and what came before the message", () => {
  const memory = memoryOf()
  const { bytes: one } = framed(1_600)
  const followed = packet(one, Buffer.from([0x82]))
  memory.received(followed.subarray(8, one.length))
  memory.arrived(followed)
  assert.strictEqual(followed.length, one.length + 1)
  const ping = Buffer.from([0x89, 0x81, 0, 0, 0, 0, 1])
  const preceded = packet(ping, one)
  memory.received(preceded.subarray(ping.length + 8))
  memory.arrived(preceded)
  assert.strictEqual(preceded.length, ping.length + one.length)
})

it("leaves memory that holds more than the packet, and a packet whose message was put together elsewhere", () => {
  const memory = memoryOf()
  const { bytes, message } = framed(1_600)
  const pool = packet(bytes, bytes)
  const first = pool.subarray(0, bytes.length)
  memory.received(first.subarray(8))
  memory.arrived(first)
  assert.strictEqual(pool.length, 2 * bytes.length)
  memory.received(packet(message))
  memory.arrived(bytes)
  assert.isAbove(bytes.length, 0)
})

it("frees nothing twice when bytes without a message follow", () => {
  const memory = memoryOf()
  const { bytes, message } = framed(1_600)
  memory.received(message)
  memory.arrived(bytes)
  const next = framed(1_600)
  memory.arrived(next.bytes)
  assert.strictEqual(next.bytes.length, next.message.length + 8)
})

it("lets a large message wait for one turn, and returns it once", () => {
  const { begin, memory, turns, waits } = largeMessage()
  memory.arrived(Buffer.alloc(1))
  assert.isTrue(memory.isWaiting)
  begin()
  memory.arrived(Buffer.alloc(1))
  assert.deepStrictEqual(waits, [true, false])
  assert.strictEqual(turns(), 1)
  memory.received(undefined)
  memory.finishTurn()
  memory.finishTurn()
  assert.strictEqual(turns(), 0)
  memory.arrived(Buffer.alloc(128 * 1024))
  assert.isFalse(memory.isWaiting)
})

it("returns the turn of a socket that stops, and one that begins later", () => {
  const during = largeMessage()
  during.begin()
  during.memory.stop()
  assert.strictEqual(during.turns(), 0)
  const before = largeMessage()
  before.memory.stop()
  before.begin()
  assert.strictEqual(before.turns(), 0)
})
