/** What a capture's buffer holds in memory. */
import { assert, it } from "@effect/vitest"
import { Batch } from "../../../src/Recording/Journal/Batch.ts"
import { CaptureBuffer } from "../../../src/Recording/Capture/CaptureBuffer.ts"
import { journalChunk, ramp } from "../support/TestNode.ts"

const [limit, usual] = [65_536, 1_000]

/** Bytes of the memory behind the buffered audio. */
const memoryOf = (buffer: CaptureBuffer, chunk: ReturnType<typeof journalChunk>) =>
  buffer.lastOf(chunk)?.audio.buffer.byteLength

it("frees a buffer at once when it is too small, when it is larger than usual after a commit, and at the end", () => {
  const [buffer, chunk, batch] = [new CaptureBuffer(limit, usual), journalChunk(), new Batch(limit * 2)]
  const held: Array<ArrayBufferLike> = []
  const add = (samples: number) => {
    buffer.add(chunk, ramp(samples), samples)
    const memory = buffer.lastOf(chunk)?.audio.buffer
    if (memory !== undefined) held.push(memory)
  }
  const sizes = () => held.map(({ byteLength }) => byteLength)
  add(400)
  assert.deepStrictEqual(sizes(), [1_000])
  add(200)
  assert.deepStrictEqual(sizes(), [0, 1_500])
  assert.deepStrictEqual(Buffer.from(buffer.lastOf(chunk)?.audio ?? []), Buffer.concat([ramp(400), ramp(200)]))
  assert.isTrue(buffer.drainInto(batch))
  add(100)
  assert.strictEqual(memoryOf(buffer, chunk), 1_500)
  assert.isTrue(buffer.drainInto(batch))
  assert.deepStrictEqual(sizes(), [0, 0, 0])
  add(100)
  assert.strictEqual(memoryOf(buffer, chunk), 1_000)
  buffer.clear()
  assert.deepStrictEqual(sizes(), [0, 0, 0, 0])
})
