/** `src/Recording/Purge`: what is purged is neither recorded nor stored by any node, whenever it learns of the purge. */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Duration, Effect, Option } from "effect"
import { TestClock } from "effect/testing"
import { Recording } from "../../../src/Recording.ts"
import type { StorageUnavailable } from "../../../src/Storage.ts"
import { Journal } from "../../../src/Recording/Journal/Journal.ts"
import { LiveConversations } from "../../../src/Recording/Journal/LiveConversations.ts"
import { Uploads } from "../../../src/Recording/Upload/Uploads.ts"
import { temporaryDirectory } from "../../support/TemporaryDirectory.ts"
import { check, finish, held, past, purge, turn } from "../support/PurgedNode.ts"
import {
  epoch,
  failing,
  hanging,
  idle,
  inWorld,
  liveChunks,
  node,
  objects,
  openCapture,
  rate,
  record,
  rowCount,
  sweep,
  unavailable
} from "../support/StoringNode.ts"
import { ramp } from "../support/TestNode.ts"

describe("A node", () => {
  it.effect("removes the object of an upload that ends after the purge, and releases its chunk", () =>
    Effect.gen(function* () {
      const { begun, gate, put } = yield* held
      yield* Effect.gen(function* () {
        yield* record(rate)
        yield* Deferred.await(begun)
        yield* purge("c", true)
        yield* Deferred.succeed(gate, undefined)
        yield* idle
        assert.deepStrictEqual([yield* objects, yield* rowCount, yield* liveChunks], [[], 0, 0])
      }).pipe(Effect.provide(node(yield* temporaryDirectory, { put })))
    }).pipe(inWorld)
  )

  it.effect(
    "removes the object of a late upload when the store can, though the purge is done and it could not at first",
    () =>
      Effect.gen(function* () {
        const { begun, gate, put } = yield* held
        let isDown = true
        const remove = <A, E>(removal: Effect.Effect<A, E>): Effect.Effect<A, E | StorageUnavailable> =>
          Effect.suspend((): Effect.Effect<A, E | StorageUnavailable> => (isDown ? unavailable : removal))
        yield* Effect.gen(function* () {
          yield* record(rate)
          yield* Deferred.await(begun)
          yield* purge("c", true)
          yield* Deferred.succeed(gate, undefined)
          yield* idle
          yield* check
          assert.strictEqual((yield* objects).length, 1)
          isDown = false
          yield* Effect.andThen(sweep, check)
          assert.deepStrictEqual([yield* objects, yield* rowCount, yield* liveChunks], [[], 0, 0])
        }).pipe(Effect.provide(node(yield* temporaryDirectory, { put, remove })))
      }).pipe(inWorld)
  )

  for (const level of ["standard", "enhanced"] as const)
    it.effect(`removes, at its next start, the ${level} object of an upload that a kill ended before its row`, () =>
      Effect.gen(function* () {
        const dataDir = yield* temporaryDirectory
        const row = () => Effect.die("killed")
        yield* Effect.andThen(record(rate), idle).pipe(Effect.provide(node(dataDir, { row, level })))
        assert.strictEqual((yield* objects).length, 1)
        yield* purge("c", true)
        let isDown = true
        const journalRead = <A, E>(read: Effect.Effect<A, E>) =>
          Effect.suspend(() => (isDown ? Effect.die("down") : read))
        yield* Effect.gen(function* () {
          yield* Effect.andThen(idle, check)
          assert.strictEqual((yield* objects).length, 1)
          isDown = false
          yield* Effect.andThen(sweep, check)
          assert.deepStrictEqual([yield* objects, yield* rowCount, yield* liveChunks], [[], 0, 0])
        }).pipe(Effect.provide(node(dataDir, { level, journalRead })))
      }).pipe(inWorld)
    )

  it.effect("keeps nothing of a stored chunk that has left its full journal before the purge", () =>
    Effect.gen(function* () {
      yield* record(rate)
      yield* (yield* Uploads).idle
      const [stored] = (yield* LiveConversations).get("u", "c")?.inJournal ?? []
      if (stored === undefined) return assert.fail()
      yield* (yield* Journal).release(stored)
      yield* purge("c", true)
      yield* check
      assert.strictEqual(yield* liveChunks, 0)
    }).pipe((test) => Effect.flatMap(temporaryDirectory, (dataDir) => Effect.provide(test, node(dataDir))), inWorld)
  )

  it.effect("keeps the object of a late upload when the same audio was stored anew after the purge", () =>
    Effect.gen(function* () {
      const { begun, gate, put } = yield* held
      const other = node(yield* temporaryDirectory)
      yield* Effect.gen(function* () {
        yield* record(rate)
        yield* Deferred.await(begun)
        yield* purge("c", true)
        yield* Effect.andThen(record(rate), idle).pipe(Effect.provide(other))
        assert.strictEqual(yield* rowCount, 1)
        yield* Deferred.succeed(gate, undefined)
        yield* idle
        assert.strictEqual(yield* liveChunks, 0)
        assert.deepStrictEqual([(yield* objects).length, yield* rowCount], [1, 1])
      }).pipe(Effect.provide(node(yield* temporaryDirectory, { put })))
    }).pipe(inWorld)
  )

  it.effect(
    "ends the capture of what is purged, refuses another one, and hides its audio until the purge is done",
    () =>
      Effect.gen(function* () {
        yield* Effect.gen(function* () {
          const recording = yield* Recording
          const live = yield* openCapture()
          live.capture.append(1_700_000_000, ramp(rate))
          yield* purge("c", false)
          yield* check
          assert.deepStrictEqual(live.failures, ["Purged"])
          const hidden = Option.getOrUndefined(yield* recording.conversation("u", "c", { files: 1 }))
          assert.deepStrictEqual([hidden?.files, hidden?.live], [[], false])
          assert.deepStrictEqual((yield* recording.conversations("u", { limit: 10, files: 1 })).conversations, [])

          const refused = yield* Deferred.make<string>()
          const capture = yield* recording.open({
            uid: "u",
            sampleRate: rate,
            codec: "pcm16",
            exact: true,
            onAck: () => {},
            onRoom: () => {},
            onFailure: ({ _tag }) => Deferred.doneUnsafe(refused, Effect.succeed(_tag))
          })
          capture.switchTo("c")
          assert.strictEqual(yield* Deferred.await(refused), "Purged")

          yield* finish
          // Until the first capture has given up its chunk, the conversation stays purged.
          yield* Effect.repeat(Effect.andThen(turn, liveChunks), { until: (count) => count === 0 })
          yield* check
          yield* Effect.andThen(record(rate), idle)
          assert.deepStrictEqual([(yield* objects).length, yield* rowCount], [1, 1])
        }).pipe(Effect.scoped, Effect.provide(node(yield* temporaryDirectory)))
      }).pipe(inWorld)
  )

  it.effect("ends a capture that was cut off from the database during the purge, whatever it learns first", () =>
    Effect.gen(function* () {
      let isDown = true
      const loaded = yield* Deferred.make<void>()
      const enter = <A, E>(row: Effect.Effect<A, E>) =>
        Effect.suspend(() => (isDown ? Effect.die("down") : Effect.tap(row, () => Deferred.succeed(loaded, undefined))))
      const config = { conversationLookup: Duration.seconds(1) }
      yield* Effect.gen(function* () {
        const { capture, failures } = yield* openCapture()
        capture.append(1_700_000_000, ramp(rate))
        yield* purge("c", true)
        isDown = false
        yield* TestClock.adjust("1 second")
        yield* Deferred.await(loaded)
        yield* check
        // While a commit is in progress the capture fails after it.
        yield* Effect.repeat(turn, { until: () => failures.length > 0 })
        assert.deepStrictEqual(failures, ["Purged"])
      }).pipe(Effect.scoped, Effect.provide(node(yield* temporaryDirectory, { enter }, config)))
    }).pipe(inWorld)
  )

  for (const isOpen of [false, true]) {
    const which = isOpen ? "an open" : "a closed"
    it.effect(`that learns late of a purge stores what ${which} capture recorded since, beside an older upload`, () =>
      Effect.gen(function* () {
        const { begun, gate, put } = yield* held
        let isDown = true
        const enter = <A, E>(row: Effect.Effect<A, E>) => Effect.suspend(() => (isDown ? Effect.die("down") : row))
        const later = Effect.gen(function* () {
          const { acked, capture } = yield* openCapture()
          capture.append(epoch + 1, ramp(rate, rate))
          yield* acked
        })
        // One upload at a time, and a buffer that is committed as soon as a second of audio is in it.
        const config = { uploads: 1, captureBuffer: 20_000 }
        yield* Effect.gen(function* () {
          yield* check
          // Later than the least time between acknowledgements, earlier than the next check.
          yield* TestClock.adjust("1 second")
          yield* record(rate)
          yield* Deferred.await(begun)
          yield* purge("c", true)
          yield* past
          isDown = false
          yield* isOpen ? later : Effect.scoped(later)
          yield* check
          yield* Deferred.succeed(gate, undefined)
        }).pipe(
          Effect.scoped,
          Effect.andThen(idle),
          Effect.andThen(Effect.all([objects, rowCount, liveChunks])),
          Effect.map(([stored, rows, left]) => assert.deepStrictEqual([stored.length, rows, left], [1, 1, 0])),
          Effect.provide(node(yield* temporaryDirectory, { enter, put }, config))
        )
      }).pipe(inWorld)
    )
  }

  it.effect("that was down during a purge stores from its journal only what was recorded after another one", () =>
    Effect.gen(function* () {
      const dataDir = yield* temporaryDirectory
      const { put } = failing()
      yield* purge("before", true)
      yield* Effect.andThen(record(rate, 0, "before"), record(rate, 0, "after")).pipe(
        Effect.provide(node(dataDir, { put }, hanging))
      )
      yield* purge("after", true)
      yield* Effect.gen(function* () {
        yield* sweep
        yield* check
        assert.strictEqual(yield* liveChunks, 0)
        const keys = (yield* objects).map(({ key }) => key.split("/")[2])
        assert.deepStrictEqual([keys, yield* rowCount], [["before"], 1])
      }).pipe(Effect.provide(node(dataDir)))
    }).pipe(inWorld)
  )
})
