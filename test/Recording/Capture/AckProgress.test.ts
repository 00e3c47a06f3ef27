/** A capture's acknowledgement lag, and its rate. */
import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { onJournal, ramp } from "../support/TestNode.ts"

const epoch = 1_700_000_000
const rate = 8000

it.effect("reports the age of the oldest unacknowledged audio as its lag", () =>
  onJournal(({ node }) =>
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
  onJournal(({ node }) =>
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
