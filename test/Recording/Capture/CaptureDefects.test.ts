/** Failures inside `src/Recording/Capture/CaptureWriter.ts` end that capture alone, and settle every waiter. */
import { assert, it } from "@effect/vitest"
import { Deferred, Effect } from "effect"
import { epoch } from "../support/StoringNode.ts"
import { ended, onJournal, ramp, TestNode } from "../support/TestNode.ts"

const throwing = () => {
  throw new Error("a bug")
}

it.effect("fails a capture whose frame can't be placed, and does not throw into the socket's event", () =>
  onJournal(({ node, journal }) =>
    Effect.gen(function* () {
      const { capture, heard } = node.capture({ markDirty: throwing })
      capture.switchTo("c")
      assert.strictEqual(capture.append(epoch, ramp(800)), "full")
      assert.deepStrictEqual(heard.failures, ["NotWritten"])
      const other = node.capture()
      other.capture.switchTo("d")
      assert.strictEqual(other.capture.append(epoch, ramp(800)), "ok")
      yield* ended(other.capture, journal)
      assert.deepStrictEqual(other.heard.failures, [])
      yield* ended(capture, journal)
    })
  )
)

it.live("fails and ends a capture when the continuation of its comparison dies", () =>
  onJournal(
    ({ node, journal }) =>
      Effect.gen(function* () {
        const first = node.capture()
        first.capture.switchTo("c")
        first.capture.append(epoch, ramp(8000))
        yield* ended(first.capture, journal)
        const { capture, heard } = node.capture()
        capture.switchTo("c")
        assert.strictEqual(capture.append(epoch, ramp(800, 100_000)), "full")
        while (heard.failures.length === 0) yield* Effect.yieldNow
        assert.deepStrictEqual([heard.failures, heard.acks], [["NotWritten"], []])
        yield* ended(capture, journal)
      }),
    { host: { shifted: throwing } }
  )
)

it.effect("ends a capture that failed while it entered a conversation", () =>
  onJournal(({ journal }) =>
    Effect.gen(function* () {
      const entering: Array<() => void> = []
      const node = new TestNode(journal, {
        backlogBytes: 1000,
        enter: (capture, id) => entering.push(() => capture.entered(node.conversation(id)))
      })
      const { capture, heard } = node.capture()
      capture.switchTo("c")
      capture.append(epoch, ramp(1000))
      assert.deepStrictEqual(heard.failures, ["BacklogFull"])
      const ended = yield* Deferred.make<void>()
      capture.close(() => Deferred.doneUnsafe(ended, Effect.void))
      for (const enter of entering) enter()
      yield* Deferred.await(ended)
    })
  )
)
