/** How chunks pass between `src/Recording/Capture` and `src/Recording/Upload`: each has one owner at a time. */
import { assert, it } from "@effect/vitest"
import { Deferred, Duration, Effect, Fiber } from "effect"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { Journal } from "../../../src/Recording/Journal/Journal.ts"
import { Uploads } from "../../../src/Recording/Upload/Uploads.ts"
import {
  chunksOf,
  epoch,
  failing,
  idle,
  inWorld,
  liveChunks,
  node,
  openCapture,
  playback,
  rate,
  record,
  rowCount,
  sweep
} from "../support/StoringNode.ts"
import { ramp } from "../support/TestNode.ts"
import { temporaryDirectory } from "../../support/TemporaryDirectory.ts"

const bug = new Error("a bug")
/** Dies while `state.isDying`. */
const dying = () => {
  const state = { isDying: true, calls: 0 }
  const hook = <A, E>(effect: Effect.Effect<A, E>): Effect.Effect<A, E> =>
    Effect.suspend(() => {
      state.calls++
      return state.isDying ? Effect.die(bug) : effect
    })
  return { state, hook }
}

/** Commits happen only when the test asks for them. */
const onDemand = { commitInterval: Duration.hours(1) }

it.live("uploads a chunk once when a sweep runs between its seal and its last commit", () =>
  Effect.gen(function* () {
    const dataDir = yield* temporaryDirectory
    const puts: Array<string> = []
    const put = <A, E>(put: Effect.Effect<A, E>, key: string) => Effect.suspend(() => (puts.push(key), put))
    yield* Effect.gen(function* () {
      const journal = yield* Journal
      yield* Effect.gen(function* () {
        const { capture } = yield* openCapture()
        capture.append(epoch, ramp(8000))
        yield* journal.commit
        capture.switchTo("d")
        assert.strictEqual(yield* (yield* Uploads).sweep, 0)
        yield* idle
      }).pipe(Effect.scoped)
      yield* idle
      assert.deepStrictEqual(puts, ["chunks/u/c/1700000000.000.batch.bin"])
    }).pipe(Effect.provide(node(dataDir, { put }, onDemand)))
  }).pipe(inWorld)
)

it.live.each(["put", "row"] as const)("stores a chunk with a later sweep when its %s dies", (step) =>
  Effect.gen(function* () {
    const dataDir = yield* temporaryDirectory
    const { hook, state } = dying()
    yield* Effect.gen(function* () {
      yield* record(8000)
      yield* idle
      assert.strictEqual(yield* liveChunks, 1)
      state.isDying = false
      while ((yield* liveChunks) > 0) yield* sweep
      assert.deepStrictEqual((yield* playback).states, ["stored"])
    }).pipe(Effect.provide(node(dataDir, { [step]: hook })))
  }).pipe(inWorld)
)

it.live("keeps an evicted chunk and acknowledges nothing while the write of its lost row dies", () =>
  Effect.gen(function* () {
    const dataDir = yield* temporaryDirectory
    const { put, state: store } = failing()
    const { hook, state } = dying()
    const small = { segmentBytes: 20_000, journalBytes: 100_000, uploadDeadline: Duration.seconds(5) }
    yield* Effect.gen(function* () {
      for (let index = 0; index < 5; index++) {
        yield* record(8000, index * 8000, "old")
        yield* idle
      }
      const { acks, capture, failures } = yield* openCapture()
      const sent = 40 * 1600
      for (let at = 0; at < sent; at += 1600) capture.append(epoch + 1000 + at / rate, ramp(1600, at))
      while (state.calls < 2) yield* Effect.sleep("5 millis")
      const acknowledged = acks.at(-1) ?? 0
      assert.isBelow(acknowledged, sent * 2)
      state.isDying = false
      while ((acks.at(-1) ?? 0) < sent * 2 && failures.length === 0) yield* Effect.sleep("5 millis")
      assert.deepStrictEqual(failures, [])
      const { audio } = yield* chunksOf("u", "c")
      assert.isTrue(audio.equals(Buffer.from(ramp(sent))))
      store.down = false
      while ((yield* liveChunks) > 1) yield* sweep
      // Given up or stored, and no chunk both.
      assert.strictEqual(yield* rowCount, 5)
    }).pipe(Effect.scoped, Effect.provide(node(dataDir, { put, lost: hook }, small)))
  }).pipe(inWorld)
)

for (const end of ["its answer is lost", "the node is killed after it"] as const)
  it.live(`plays a chunk that is stored after it was recorded as lost, when ${end}`, () =>
    Effect.gen(function* () {
      const dataDir = yield* temporaryDirectory
      const copy = Path.join(dataDir, "copy")
      const { put, state: store } = failing()
      const noted = yield* Deferred.make<void>()
      /** The first lost row is written, but its caller gets no result. */
      const lost = <A, E>(row: Effect.Effect<A, E>): Effect.Effect<A, E> =>
        row.pipe(
          Effect.tap(() =>
            Effect.sync(() => {
              store.down = false
              Fs.cpSync(Path.join(dataDir, "journal"), Path.join(copy, "journal"), { recursive: true })
            })
          ),
          Effect.andThen(Deferred.succeed(noted, undefined)),
          Effect.andThen(end === "its answer is lost" ? Effect.die(bug) : Effect.never)
        )
      // A recording waits for its commit. Nine in one commit would all lie in one segment, and only a new one makes room.
      const small = { segmentBytes: 20_000, journalBytes: 100_000 }
      const whole = Buffer.from(ramp(9 * 8000))
      const heard = Effect.gen(function* () {
        while ((yield* liveChunks) > 0) yield* sweep
        const { audio, lost } = yield* chunksOf("u", "c")
        assert.strictEqual(lost, 0)
        assert.isTrue(audio.equals(whole.subarray(0, audio.length)))
        return audio.length
      })
      yield* Effect.gen(function* () {
        const recorder = yield* Effect.forkChild(
          Effect.forEach(Array.from({ length: 9 }), (_, index) => Effect.andThen(record(8000, index * 8000), idle))
        )
        yield* Deferred.await(noted)
        // Without waiting: the recording ends when the journal does.
        if (end !== "its answer is lost") return recorder.interruptUnsafe()
        // The recorder waits for room, and there is some once the sweeper has stored a chunk.
        while (recorder.pollUnsafe() === undefined) yield* Effect.andThen(sweep, Effect.sleep("5 millis"))
        yield* Fiber.join(recorder)
        assert.strictEqual(yield* heard, whole.length)
      }).pipe(Effect.scoped, Effect.provide(node(dataDir, { put, lost }, small)))
      if (end === "its answer is lost") return
      assert.isAbove(yield* Effect.provide(heard, node(copy)), 0)
    }).pipe(inWorld)
  )
