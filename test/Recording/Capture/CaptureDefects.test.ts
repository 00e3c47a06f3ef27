/** A defect in what a capture does with a frame ends that capture alone, and whoever waits for its end is told. */
import { assert, it } from "@effect/vitest"
import { Effect, References } from "effect"
import type { CaptureHost } from "../../../src/Recording/Capture/CaptureHost.ts"
import { Journal } from "../../../src/Recording/Journal/Journal.ts"
import { epoch } from "../support/StoringNode.ts"
import { ended, journalIn, ramp, temporaryDirectory, TestNode } from "../support/TestNode.ts"

const throwing = () => {
  throw new Error("a bug")
}

const onNode = <A, E>(
  test: (node: TestNode, journal: Journal["Service"]) => Effect.Effect<A, E>,
  overrides: Partial<CaptureHost> = {}
) =>
  Effect.gen(function* () {
    const journal = journalIn(yield* temporaryDirectory)
    return yield* Effect.provide(
      Effect.flatMap(Journal, (journal) => test(new TestNode(journal, overrides), journal)),
      journal
    )
  }).pipe(Effect.scoped, Effect.provideService(References.MinimumLogLevel, "None"))

it.effect("fails a capture whose frame can't be placed, and does not throw into the socket's event", () =>
  onNode((node, journal) =>
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
  onNode(
    (node, journal) =>
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
    { shifted: throwing }
  )
)
