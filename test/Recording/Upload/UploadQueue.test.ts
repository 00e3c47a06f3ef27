/** A capture's upload queue. */
import { assert, it } from "@effect/vitest"
import { UploadQueue } from "../../../src/Recording/Upload/UploadQueue.ts"
import { journalChunk } from "../support/TestNode.ts"

it("does not offer an evicted chunk again when it slides out of its queue", () => {
  const queue = new UploadQueue()
  const capture = {}
  const [first, second] = [journalChunk(), journalChunk()]
  queue.offer(capture, first, 1)
  first.state = "released"
  assert.strictEqual(queue.offer(capture, second, 1), first)
  assert.strictEqual(first.state, "released")
})
