/** `src/Recording/Journal/ChunkId.ts`. */
import { assert, it } from "@effect/vitest"
import * as ChunkId from "../../../src/Recording/Journal/ChunkId.ts"

it("keeps the time in a random id, and reads none from the ids of earlier releases", () => {
  const times = [0, 1, 1_764_000_000_123, 2 ** 48 - 1]
  const ids = times.map(ChunkId.make)
  assert.deepStrictEqual(ids.map(ChunkId.knownAt), times)
  const again = ChunkId.make(1)
  assert.notStrictEqual(again, ids[1])
  assert.match(again, /^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-000000000001$/)
  assert.strictEqual(ChunkId.knownAt(ChunkId.textOf(new Uint8Array(16).fill(0xff))), 0)
  assert.strictEqual(ChunkId.knownAt(ChunkId.textOf(new Uint8Array(16))), 0)
  assert.strictEqual(ChunkId.textOf(ChunkId.bytesOf(again)), again)
})
