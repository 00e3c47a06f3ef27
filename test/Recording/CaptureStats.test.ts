/** How a capture says that it fares, and the peaks that it leaves on its chunks. */
import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { Peaks } from "../../src/Audio.ts"
import { Journal } from "../../src/Recording/Journal/Journal.ts"
import { ended, journalIn, ramp, temporaryDirectory, TestNode } from "./support/TestNode.ts"

const epoch = 1_700_000_000
const rate = 8000

const onJournal = <A, E>(test: (node: TestNode) => Effect.Effect<A, E>) =>
  Effect.gen(function* () {
    const dataDir = yield* temporaryDirectory
    return yield* Effect.flatMap(Journal, (journal) => test(new TestNode(journal))).pipe(
      Effect.provide(journalIn(dataDir))
    )
  }).pipe(Effect.scoped)

it.effect("reports the age of the oldest unacknowledged audio as its lag", () =>
  onJournal((node) =>
    Effect.gen(function* () {
      node.now = 10_000
      const { capture, heard } = node.capture()
      capture.switchTo("c")
      assert.strictEqual(capture.ackLag, 0)
      capture.append(epoch, ramp(800))
      node.now = 10_300
      capture.append(epoch + 0.1, ramp(800, 800))
      node.now = 10_400
      assert.deepStrictEqual([capture.ackLag, capture.waitingBytes], [0.4, 3200])
      yield* node.journal.commit
      assert.deepStrictEqual([capture.ackLag, capture.waitingBytes, heard.acks.length], [0, 0, 1])
      capture.append(epoch + 0.2, ramp(800, 1600))
      node.now = 10_900
      yield* node.journal.commit
      assert.deepStrictEqual([capture.ackLag, capture.waitingBytes, heard.acks.length], [0.5, 0, 1])
      node.now = 11_500
      yield* node.journal.commit
      assert.deepStrictEqual([capture.ackLag, heard.acks.length], [0, 2])
    })
  )
)

it.effect("reports a rate that follows the received audio", () =>
  onJournal((node) =>
    Effect.sync(() => {
      const { capture } = node.capture()
      capture.switchTo("c")
      for (let second = 0; second < 3; second++) {
        capture.append(epoch + second, ramp(rate))
        node.now += 1000
        capture.rate.measure(node.now)
        assert.strictEqual(capture.rate.perSecond, 2 * rate)
      }
      for (let second = 0; second < 20; second++) {
        node.now += 1000
        capture.rate.measure(node.now)
      }
      assert.isBelow(capture.rate.perSecond, 100)
      assert.strictEqual(capture.rate.received, 3 * 2 * rate)
    })
  )
)

it.effect("computes the peaks of its chunks without replays", () =>
  onJournal((node) =>
    Effect.gen(function* () {
      const { capture } = node.capture()
      capture.switchTo("c")
      capture.append(epoch, ramp(3000))
      yield* node.journal.commit
      // Compared with what is recorded before it is written.
      capture.append(epoch + 2000 / rate, ramp(3000, 2000))
      yield* ended(capture, node.journal)
      const [chunk, ...others] = node.conversation("c").chunks
      assert.strictEqual(others.length, 0)
      assert.strictEqual(chunk?.peaks.samples, 5000)
      assert.deepStrictEqual(chunk?.peaks.encode(), Peaks.peaksOf(ramp(5000), rate))
    })
  )
)
