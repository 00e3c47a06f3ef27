/** Nothing leaves the buffer that the server has not acknowledged, whatever is selected, acknowledged and lost. */
import { assert, it } from "@effect/vitest"
import { PacketBuffer } from "../../src/Client/PacketBuffer.ts"
import { random } from "../support/Crash.ts"
import { seed as first } from "../support/Seed.ts"

const capacity = 1_000

interface Received {
  readonly conversation: string
  readonly bytes: number
  readonly ids: ReadonlyArray<number>
}

/** A server that acknowledges some of what it receives, in order, and repeats acknowledgements of earlier conversations. */
class Server {
  readonly acknowledged = new Set<number>()
  #conversation = ""
  #received: Array<Received> = []
  #due: Array<Received> = []
  #said: Array<Received> = []

  select(conversation: string) {
    this.#conversation = conversation
    this.#received = []
  }

  /** The first two bytes of a packet are its number. */
  receive(message: Uint8Array) {
    const audio = message.subarray(12)
    const { bytes, ids } = this.#received.at(-1) ?? { bytes: 0, ids: [] }
    const id = new DataView(audio.buffer, audio.byteOffset).getUint16(0, true)
    const all = { conversation: this.#conversation, bytes: bytes + audio.length, ids: [...ids, id] }
    this.#received.push(all)
    this.#due.push(all)
  }

  acknowledge(next: () => number): ReadonlyArray<Received> {
    const said = this.#said[Math.floor(next() * this.#said.length)]
    if (next() < 0.3) return said === undefined ? [] : [said]
    const covered = this.#due.splice(0, 1 + Math.floor(next() * this.#due.length))
    // The end of each conversation is acknowledged.
    const due = covered.filter((each, at) => covered[at + 1]?.conversation !== each.conversation)
    for (const { ids } of due) for (const id of ids) this.acknowledged.add(id)
    this.#said.push(...due)
    return due
  }

  reset() {
    this.#due = []
    this.#said = []
  }
}

it("keeps every packet until it is acknowledged, in order, within its bound", () => {
  for (let seed = first; seed < first + 60; seed++) {
    const next = random(seed)
    const buffer = new PacketBuffer(capacity)
    const server = new Server()
    const accepted: Array<number> = []
    let conversation = "a"
    for (let step = 0; step < 200; step++) {
      const kind = next()
      if (kind < 0.1) conversation = ["a", "b", "c"][Math.floor(next() * 3)] ?? "a"
      else if (kind < 0.5) {
        const audio = new Uint8Array(2 + 2 * Math.floor(next() * 60))
        new DataView(audio.buffer).setUint16(0, accepted.length, true)
        if (!buffer.fits(audio.length)) continue
        buffer.push(conversation, accepted.length, audio)
        accepted.push(accepted.length)
      } else if (kind < 0.75) {
        const outgoing = buffer.next()
        if (outgoing === undefined) continue
        if (outgoing.selects !== undefined) server.select(outgoing.selects)
        server.receive(outgoing.message)
      } else if (kind < 0.95) {
        for (const { bytes, conversation } of server.acknowledge(next)) {
          assert.isTrue(buffer.acknowledge(conversation, bytes))
        }
      } else {
        buffer.reset()
        server.reset()
      }
      const kept = buffer.packets().map(({ start }) => start)
      const place = `seed ${seed}, step ${step}`
      assert.deepStrictEqual(
        kept,
        accepted.filter((id) => !server.acknowledged.has(id)),
        place
      )
      assert.isAtMost(buffer.unacknowledged, capacity, place)
      const sizes = buffer.packets().reduce((sum, { audio }) => sum + audio.length, 0)
      assert.strictEqual(buffer.unacknowledged, sizes, place)
      assert.isAtMost(buffer.unsent, sizes, place)
    }
  }
})

it("does not return to a conversation on the same connection, whose acknowledgements could be those before", () => {
  const buffer = new PacketBuffer(capacity)
  for (const [at, conversation] of ["a", "b", "a"].entries()) buffer.push(conversation, at, packet())
  assert.deepStrictEqual([buffer.next()?.selects, buffer.next()?.selects, buffer.next()], ["a", "b", undefined])
  assert.isTrue(buffer.isBlocked)
  assert.deepStrictEqual([buffer.acknowledge("a", 10), buffer.acknowledge("b", 10)], [true, true])
  assert.deepStrictEqual([buffer.isInFlight, buffer.unacknowledged], [false, 10])
  buffer.reset()
  assert.strictEqual(buffer.next()?.selects, "a")
})

const packet = () => new Uint8Array(10)

it("reports that the server has passed over the end of a conversation", () => {
  const buffer = new PacketBuffer(capacity)
  for (const [at, conversation] of ["a", "a", "b", "b"].entries()) buffer.push(conversation, at, packet())
  while (buffer.next() !== undefined);
  assert.isTrue(buffer.acknowledge("a", 10))
  assert.isFalse(buffer.acknowledge("b", 20))
  assert.deepStrictEqual(
    buffer.packets().map(({ start }) => start),
    [1]
  )
  buffer.reset()
  assert.strictEqual(buffer.next()?.selects, "a")
  assert.isTrue(buffer.acknowledge("a", 10))
  assert.strictEqual(buffer.unacknowledged, 0)
})

it("ignores acknowledgements of conversations that this connection has not selected", () => {
  const buffer = new PacketBuffer(capacity)
  buffer.push("a", 0, packet())
  buffer.next()
  assert.isTrue(buffer.acknowledge("b", 10))
  assert.strictEqual(buffer.unacknowledged, 10)
})
