/** Buffers that are read into again and again. */
import { assert, it } from "@effect/vitest"
import { ReadBuffers } from "../../src/Storage.ts"

const size = 64 * 1024

it("gives a buffer again only when it was given back", () => {
  const first = ReadBuffers.take(size)
  const second = ReadBuffers.take(size)
  assert.notStrictEqual(first.buffer, second.buffer)
  ReadBuffers.giveBack(first)
  const third = ReadBuffers.take(size - 10)
  assert.strictEqual(third.buffer, first.buffer)
  assert.strictEqual(third.length, size - 10)
})

it("ignores what is given back twice, in part, or was never taken", () => {
  const taken = ReadBuffers.take(size)
  ReadBuffers.giveBack(taken.subarray(0, 10))
  ReadBuffers.giveBack(new Uint8Array(size))
  ReadBuffers.giveBack(taken)
  ReadBuffers.giveBack(taken)
  const buffers = Array.from({ length: 8 }, () => ReadBuffers.take(size).buffer)
  assert.lengthOf(new Set(buffers), buffers.length)
})

it("keeps a bounded number of idle bytes", () => {
  const taken = Array.from({ length: 40 }, () => ReadBuffers.take(512 * 1024))
  const before = new Set(taken.map(({ buffer }) => buffer))
  taken.forEach(ReadBuffers.giveBack)
  const again = Array.from({ length: 40 }, () => ReadBuffers.take(512 * 1024))
  assert.lengthOf(
    again.filter(({ buffer }) => before.has(buffer)),
    16
  )
})
