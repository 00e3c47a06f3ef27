/** The oldest chunk of a full queue waits in the journal, users take turns, and nothing is counted twice. */
import { assert, it } from "@effect/vitest"
import { makeLane, UploadQueue } from "../../../src/Recording/Upload/UploadQueue.ts"
import { journalChunk } from "../support/TestNode.ts"

const chunks = (count: number) => Array.from({ length: count }, journalChunk)

it("defers the oldest chunk of a full queue, counts each once, and keeps the order of the others", () => {
  const queue = new UploadQueue()
  const lane = makeLane("u", 20)
  const sealed = chunks(50)
  assert.strictEqual(sealed.filter((chunk) => queue.offer(lane, chunk)).length, 30)
  assert.deepStrictEqual(
    sealed.map(({ state }) => state),
    sealed.map((_, index) => (index < 30 ? "waiting" : "queued"))
  )
  assert.strictEqual(queue.size, 20)
  for (const chunk of sealed.slice(30)) assert.strictEqual(queue.take(), chunk)
  assert.isUndefined(queue.take())
  assert.strictEqual(queue.size, 0)
})

it("does not offer an evicted chunk again when it slides out of its queue, and does not count it", () => {
  const queue = new UploadQueue()
  const lane = makeLane("u", 1)
  const [first, second] = [journalChunk(), journalChunk()]
  queue.offer(lane, first)
  first.state = "released"
  assert.isFalse(queue.offer(lane, second))
  assert.strictEqual(first.state, "released")
  assert.strictEqual(queue.take(), second)
})

it("serves users in turn, and the captures of a user in turn, whatever slides out meanwhile", () => {
  const queue = new UploadQueue()
  const [long, short, other] = [chunks(9), chunks(2), chunks(3)]
  for (const [uid, sealed] of [
    ["busy", long],
    ["busy", short],
    ["other", other]
  ] as const) {
    const lane = makeLane(uid, 3)
    for (const chunk of sealed) queue.offer(lane, chunk)
  }
  const expected = [long[6], other[0], short[0], other[1], long[7], other[2], short[1], long[8]]
  for (const chunk of expected) assert.strictEqual(queue.take(), chunk)
})
