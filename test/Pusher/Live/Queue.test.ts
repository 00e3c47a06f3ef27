/** The sliding queues of live transcripts: their bounds, and the turns of users. */
import { assert, it } from "@effect/vitest"
import { LiveQueue, maxMessages } from "../../../src/Pusher/Live/Queue.ts"
import type { LiveTranscript } from "../../../src/Pusher/Live/Transcript.ts"
import type { Sender } from "../../../src/Pusher/MessageHandlers.ts"

const sender = (uid: string): Sender => ({ uid, conversation: () => "c", send: () => {}, dropped: 0 })

const message = (uid: string, n: number, { chars = 10, segments = 1 } = {}): LiveTranscript => ({
  uid,
  conversation: String(n),
  segments: Array.from({ length: segments }, (_, at) => ({ id: `${n}-${at}`, start: n, json: "{}" })),
  chars,
  receivedAt: 0
})

const all = (queue: LiveQueue) => {
  const taken: Array<LiveTranscript> = []
  for (;;) {
    const batch = queue.takeBatch()
    if (batch.length === 0) return taken
    taken.push(...batch.map((each) => each.message))
  }
}

it("keeps the latest 50 messages of a capture in order, and counts what they displace", () => {
  const [queue, ada] = [new LiveQueue(), sender("ada")]
  for (let n = 0; n < maxMessages + 7; n++) queue.offer(ada, message("ada", n, { segments: 2 }))
  assert.deepStrictEqual([queue.segments, queue.takeDropped(), queue.takeDropped(), ada.dropped], [100, 14, 0, 14])
  assert.deepStrictEqual(
    all(queue).map(({ conversation }) => Number(conversation)),
    Array.from({ length: maxMessages }, (_, n) => n + 7)
  )
  assert.strictEqual(queue.segments, 0)
})

it("gives users turns, whatever one of them has queued, in batches", () => {
  const queue = new LiveQueue()
  const [first, second, eve] = [sender("ada"), sender("ada"), sender("eve")]
  for (let n = 0; n < 40; n++)
    for (const each of [first, second]) queue.offer(each, message("ada", n, { segments: 100 }))
  queue.offer(eve, message("eve", 1))
  const batch = queue.takeBatch()
  assert.isTrue(batch.slice(0, 2).some((each) => each.message.uid === "eve"))
  assert.strictEqual(
    batch.reduce((sum, each) => sum + each.message.segments.length, 0),
    501
  )
  assert.lengthOf(all(queue), 75)
  assert.deepStrictEqual([first.dropped, second.dropped], [0, 0])
})

it("holds 2 MiB of a capture and 32 MiB of all, without taking anything from other captures", () => {
  const queue = new LiveQueue()
  const mebibyte = 1024 * 1024
  const large = { chars: mebibyte }
  const senders = Array.from({ length: 16 }, (_, n) => sender(`user-${n}`))
  for (const each of senders) for (let n = 0; n < 3; n++) queue.offer(each, message(each.uid, n, large))
  assert.deepStrictEqual(
    senders.map(({ dropped }) => dropped),
    senders.map(() => 1)
  )
  assert.strictEqual(queue.segments, 32)
  const late = sender("late")
  queue.offer(late, message("late", 0, { chars: 100 }))
  assert.deepStrictEqual([late.dropped, queue.segments], [1, 32])
  queue.offer(senders[0] ?? late, message("user-0", 9, { chars: 100 }))
  queue.offer(late, message("late", 1, { chars: 100 }))
  assert.deepStrictEqual([senders[0]?.dropped, late.dropped], [2, 1])
  assert.lengthOf(all(queue), 33)
  queue.offer(late, message("late", 2, large))
  assert.lengthOf(all(queue), 1)
})
