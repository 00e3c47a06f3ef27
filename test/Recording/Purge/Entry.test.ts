/** `src/Recording`: a capture that enters a conversation that was purged is neither compared with what is purged, nor lost with it. */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber } from "effect"
import { ConversationRows } from "../../../src/Recording/Catalog/ConversationRows.ts"
import { Journal } from "../../../src/Recording/Journal/Journal.ts"
import { Uploads } from "../../../src/Recording/Upload/Uploads.ts"
import { Storage } from "../../../src/Storage.ts"
import { temporaryDirectory } from "../../support/TemporaryDirectory.ts"
import { check, finish, held, past, purge, started, turn } from "../support/PurgedNode.ts"
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
  sweep
} from "../support/StoringNode.ts"
import { ramp } from "../support/TestNode.ts"

/** The answer to the first query of a capture that enters waits for `gate`. */
const heldAnswer = Effect.gen(function* () {
  const [begun, gate] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
  const enter = <A, E>(query: Effect.Effect<A, E>) =>
    Effect.tap(query, (answer) =>
      answer === undefined ? Effect.void : Effect.andThen(Deferred.succeed(begun, undefined), Deferred.await(gate))
    )
  return { begun, gate, enter }
})

const down = <A, E>(_query: Effect.Effect<A, E>): Effect.Effect<A, E> => Effect.die("down")

/** Commits without a clock. */
const committing = Effect.forever(
  Effect.andThen(
    Effect.flatMap(Journal, (journal) => journal.commit),
    turn
  )
)

/** What the purge deletes. */
const removeObjects = Effect.gen(function* () {
  const storage = yield* Storage
  yield* Effect.forEach(yield* objects, ({ generation, key }) => storage.remove(key, { generation }))
})

const stored = Effect.all([Effect.map(objects, ({ length }) => length), rowCount, liveChunks])

describe("A capture that enters a purged conversation", () => {
  for (const samples of [rate, rate / 2])
    it.effect(`stores ${samples / rate} s of the same audio anew while the purged audio is uploaded`, () =>
      Effect.gen(function* () {
        const { begun, gate, put } = yield* held
        let isDown = true
        const enter = <A, E>(query: Effect.Effect<A, E>) => (isDown ? down(query) : query)
        yield* Effect.gen(function* () {
          yield* started
          yield* record(rate)
          yield* Deferred.await(begun)
          yield* purge("c", true)
          yield* past
          isDown = false
          yield* Effect.forkChild(committing)
          yield* record(samples)
          yield* check
          yield* Deferred.succeed(gate, undefined)
          yield* idle
          yield* Effect.repeat(sweep, { times: 3 })
          assert.deepStrictEqual(yield* stored, [1, 1, 0])
          assert.strictEqual((yield* objects)[0]?.size, samples * 2)
        }).pipe(Effect.provide(node(yield* temporaryDirectory, { enter, put }, { uploads: 1 })))
      }).pipe(inWorld)
    )

  for (const isRunning of [false, true]) {
    const what = isRunning ? "while it ran" : "before it"
    it.effect(`records on when the database was asked ${what} and answers after the node knows of its end`, () =>
      Effect.gen(function* () {
        const { begun, enter, gate } = yield* heldAnswer
        yield* Effect.gen(function* () {
          yield* started
          // With a row, the first answer is the only one.
          yield* Effect.flatMap(ConversationRows, (rows) => rows.ensure("u", "c"))
          if (isRunning) yield* purge("c", false)
          const recording = yield* Effect.forkChild(record(rate))
          yield* Deferred.await(begun)
          yield* isRunning ? finish : purge("c", true)
          yield* past
          yield* check
          yield* Deferred.succeed(gate, undefined)
          yield* Fiber.join(recording)
          yield* idle
          assert.deepStrictEqual(yield* stored, [1, 1, 0])
        }).pipe(Effect.provide(node(yield* temporaryDirectory, { enter })))
      }).pipe(inWorld)
    )
  }

  it.effect("ends when it may have been compared with purged audio, before that is acknowledged", () =>
    Effect.gen(function* () {
      const { put } = failing()
      yield* Effect.gen(function* () {
        yield* started
        yield* record(rate)
        const { capture, failures } = yield* openCapture()
        capture.append(epoch, ramp(rate))
        yield* purge("c", true)
        yield* past
        yield* check
        assert.deepStrictEqual(failures, ["Purged"])
      }).pipe(Effect.scoped, Effect.provide(node(yield* temporaryDirectory, { put, enter: down }, hanging)))
    }).pipe(inWorld)
  )
})

describe("A node that learns of a purge", () => {
  it.effect("removes the object that it stored after the purge while the database could not be reached", () =>
    Effect.gen(function* () {
      let isDown = true
      const row = <A, E>(row: Effect.Effect<A, E>) => (isDown ? Effect.die("down") : row)
      yield* Effect.gen(function* () {
        yield* started
        yield* purge("c", true)
        yield* record(rate)
        yield* idle
        assert.strictEqual((yield* objects).length, 1)
        yield* past
        yield* check
        isDown = false
        yield* Effect.repeat(sweep, { times: 3 })
        assert.deepStrictEqual(yield* stored, [0, 0, 0])
      }).pipe(Effect.provide(node(yield* temporaryDirectory, { row, enter: down })))
    }).pipe(inWorld)
  )

  it.effect(
    "keeps the object that another node has just stored under the same key, before that node writes its row",
    () =>
      Effect.gen(function* () {
        const { begun, gate, put: row } = yield* held
        const late = yield* held
        const other = node(yield* temporaryDirectory, { row: late.put })
        yield* Effect.gen(function* () {
          const isIdle = Effect.provideService(idle, Uploads, yield* Uploads)
          yield* record(rate)
          yield* Deferred.await(begun)
          yield* removeObjects
          yield* purge("c", true)
          yield* past
          yield* Effect.gen(function* () {
            yield* record(rate / 2)
            yield* Deferred.await(late.begun)
            yield* Deferred.succeed(gate, undefined)
            yield* isIdle
            yield* Deferred.succeed(late.gate, undefined)
            yield* idle
            assert.deepStrictEqual(yield* stored, [1, 1, 0])
          }).pipe(Effect.provide(other))
        }).pipe(Effect.provide(node(yield* temporaryDirectory, { row })))
      }).pipe(inWorld)
  )
})
