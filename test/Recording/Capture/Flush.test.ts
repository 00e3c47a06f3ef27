/** `flush` of `src/Recording/Capture/Captures.ts`: what is stored when a conversation is finished while it is recorded. */
import { assert, it } from "@effect/vitest"
import { Deferred, Duration, Effect } from "effect"
import { Recording } from "../../../src/Recording.ts"
import { StorageUnavailable } from "../../../src/Storage.ts"
import { temporaryDirectory } from "../../support/TemporaryDirectory.ts"
import { allChunks, epoch, inWorld, node, openCapture, rate, record } from "../support/StoringNode.ts"
import { ramp } from "../support/TestNode.ts"

const name = { uid: "u", conversation: "c" }
const soon = Duration.seconds(20)

const samples = Effect.map(allChunks("u", "c"), (chunks) => chunks.map(({ samples, state }) => ({ samples, state })))

it.live("stores what was received, and lets the capture continue", () =>
  Effect.gen(function* () {
    const dataDir = yield* temporaryDirectory
    yield* Effect.gen(function* () {
      const recording = yield* Recording
      const { capture } = yield* openCapture()
      capture.append(epoch, ramp(rate))
      assert.isTrue(yield* recording.flush(name, soon))
      assert.deepStrictEqual(yield* samples, [{ samples: rate, state: "stored" }])
      assert.isTrue(yield* recording.flush(name, soon))
      capture.append(epoch + 1, ramp(rate, rate))
      assert.isTrue(yield* recording.flush(name, soon))
      assert.deepStrictEqual(
        yield* samples,
        [0, 1].map(() => ({ samples: rate, state: "stored" }))
      )
    }).pipe(Effect.scoped, Effect.provide(node(dataDir)))
  }).pipe(inWorld)
)

it.live("waits for audio that was received before the capture has entered its conversation", () =>
  Effect.gen(function* () {
    const dataDir = yield* temporaryDirectory
    const entered = yield* Deferred.make<void>()
    const enter = <A, E>(row: Effect.Effect<A, E>) => Effect.andThen(Deferred.await(entered), row)
    yield* Effect.gen(function* () {
      const recording = yield* Recording
      const capture = yield* recording.open({
        uid: "u",
        sampleRate: rate,
        codec: "pcm16",
        exact: true,
        onAck: () => {},
        onRoom: () => {},
        onFailure: () => assert.fail("it records")
      })
      capture.switchTo("c")
      capture.append(epoch, ramp(rate))
      assert.isFalse(yield* recording.flush(name, Duration.millis(200)))
      yield* Deferred.succeed(entered, undefined)
      assert.isTrue(yield* recording.flush(name, soon))
      assert.deepStrictEqual(yield* samples, [{ samples: rate, state: "stored" }])
    }).pipe(Effect.scoped, Effect.provide(node(dataDir, { enter })))
  }).pipe(inWorld)
)

it.live("stores what a killed node has left in its journal, and says when the store does not take it in time", () =>
  Effect.gen(function* () {
    const dataDir = yield* temporaryDirectory
    const put = (_: unknown, key: string) =>
      Effect.fail(new StorageUnavailable({ operation: "put", bucket: "b", key, cause: new Error("away") }))
    yield* Effect.gen(function* () {
      yield* record(rate)
      const { flush } = yield* Recording
      assert.isFalse(yield* flush(name, Duration.millis(300)))
    }).pipe(Effect.provide(node(dataDir, { put }, { drainTimeout: Duration.millis(50) })))
    yield* Effect.gen(function* () {
      const { flush } = yield* Recording
      assert.isTrue(yield* flush(name, soon))
      assert.deepStrictEqual(yield* samples, [{ samples: rate, state: "stored" }])
    }).pipe(Effect.provide(node(dataDir)))
  }).pipe(inWorld)
)
