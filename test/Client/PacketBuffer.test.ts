/** Nothing leaves the buffer that the server has not acknowledged, whatever is selected, acknowledged and lost. */
import { assert, it } from "@effect/vitest"
import { PacketBuffer } from "../../src/Client/PacketBuffer.ts"
import { random } from "../support/Crash.ts"
import { seed as first } from "../support/Seed.ts"

const capacity = 1_000

/** A server that stores what it receives and acknowledges some of it, in order. */
class Server {
  readonly stored = new Set<number>()
  #selections: Array<{ readonly conversation: string; readonly received: Array<number> }> = []
  #owed: Array<{ conversation: string; bytes: number; ids: ReadonlyArray<number> }> = []

  select(conversation: string) {
    this.#selections.push({ conversation, received: [] })
  }

  /** Every packet has its number in its first two bytes. */
  receive(message: Uint8Array) {
    const current = this.#selections.at(-1)
    if (current === undefined) throw new Error("audio before a conversation")
    const audio = message.subarray(12)
    current.received.push(new DataView(audio.buffer, audio.byteOffset).getUint16(0, true))
    const bytes =
      (this.#owed.at(-1)?.conversation === current.conversation ? (this.#owed.at(-1)?.bytes ?? 0) : 0) + audio.length
    this.#owed.push({ conversation: current.conversation, bytes, ids: [...current.received] })
  }

  acknowledge(next: () => number) {
    const count = 1 + Math.floor(next() * this.#owed.length)
    const covered = this.#owed.slice(0, count)
    const last = covered.at(-1)
    if (last === undefined) return undefined
    // The end of each conversation is acknowledged.
    const due = covered.filter((each, at) => each === last || covered[at + 1]?.conversation !== each.conversation)
    for (const { ids } of due) for (const id of ids) this.stored.add(id)
    this.#owed.splice(0, count - 1)
    return due
  }

  reset() {
    this.#selections = []
    this.#owed = []
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
        for (const { bytes, conversation } of server.acknowledge(next) ?? []) buffer.acknowledge(conversation, bytes)
      } else {
        buffer.reset()
        server.reset()
      }
      const kept = buffer.packets().map(({ start }) => start)
      const place = `seed ${seed}, step ${step}`
      assert.deepStrictEqual(
        kept,
        accepted.filter((id) => !server.stored.has(id)),
        place
      )
      assert.isAtMost(buffer.unacknowledged, capacity, place)
      const sizes = buffer.packets().reduce((sum, { audio }) => sum + audio.length, 0)
      assert.strictEqual(buffer.unacknowledged, sizes, place)
      assert.isAtMost(buffer.unsent, sizes, place)
    }
  }
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
