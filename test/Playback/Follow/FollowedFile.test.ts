/** What following costs, and how it ends, on recordings in memory. */
import { assert, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Layer, Option, Scope } from "effect"
import { TestClock } from "effect/testing"
import { BulkheadConfig } from "../../../src/Bulkhead/BulkheadConfig.ts"
import { Follow } from "../../../src/Playback/Follow/Follow.ts"
import { Playback, PlaybackConfig } from "../../../src/Playback.ts"
import { Readiness } from "../../../src/Readiness.ts"
import * as Settings from "../../support/Settings.ts"
import { MemoryRecording, rate, t0 } from "../support/MemoryRecording.ts"
import { idOf } from "../support/ServedAudio.ts"

const node = (recording: MemoryRecording, draining: Effect.Effect<void> = Effect.never) =>
  Follow.layer.pipe(
    Layer.provideMerge(Playback.layer),
    Layer.provide([recording.layer, PlaybackConfig.layer, BulkheadConfig.layer, Layer.mock(Readiness, { draining })]),
    Layer.provide(Settings.environment({}))
  )

/** A conversation of seconds of audio, which is live. */
const live = (seconds: number, more: Parameters<MemoryRecording["put"]>[1] = []) => {
  const chunks = Array.from({ length: seconds }, (_, index) => ({ start: t0 + index, samples: rate }))
  return { chunks: [...chunks, ...more] }
}

/** Follows in a scope of its own. */
const follow = Effect.fnUntraced(function* (from = 0) {
  const scope = yield* Scope.make()
  const name = { uid: "ada", conversation: "talk", id: idOf("talk") }
  const opened = yield* Effect.provideService((yield* Follow).open(name, "pcm", from), Scope.Scope, scope)
  const { begin } = Option.getOrThrow(opened)
  const { first, next } = yield* Effect.provideService(begin({ start: 0, end: Infinity }), Scope.Scope, scope)
  const heard = [...first]
  /** Hears until the end, or a failure. */
  const rest = Effect.gen(function* () {
    for (;;) {
      const pieces = yield* next
      if (pieces === undefined) return Buffer.concat(heard)
      heard.push(...pieces)
    }
  })
  return { rest, heard: () => Buffer.concat(heard), close: Scope.close(scope, Exit.void) }
})

it.effect("takes one snapshot for each growth, however many follow", () =>
  Effect.gen(function* () {
    const recording = new MemoryRecording()
    recording.put("talk", live(1).chunks, { live: true })
    yield* Effect.gen(function* () {
      const all = yield* Effect.forEach(Array.from({ length: 200 }), () => follow())
      assert.strictEqual(recording.snapshots, 1)
      const fibers = yield* Effect.forEach(all, ({ rest }) => Effect.forkChild(rest))
      const before = recording.bytesRead
      for (let seconds = 2; seconds <= 5; seconds++) {
        recording.put("talk", live(seconds).chunks, { live: true })
        yield* TestClock.adjust("1 second")
      }
      assert.strictEqual(recording.snapshots, 5)
      // Each second is read once for all.
      assert.strictEqual(recording.bytesRead - before, 4 * rate * 2)
      recording.put("talk", live(5).chunks)
      yield* TestClock.adjust("11 seconds")
      const whole = MemoryRecording.pcm({ start: t0, samples: 5 * rate })
      for (const fiber of fibers) assert.isTrue((yield* Fiber.join(fiber)).equals(whole))
      yield* Effect.forEach(all, ({ close }) => close)
      // The last response has ended.
      recording.put("talk", live(7).chunks, { live: true })
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(recording.snapshots, 5)
    }).pipe(Effect.provide(node(recording)))
  })
)

it.effect("continues when a device reconnects in time, and ends when none does", () =>
  Effect.gen(function* () {
    const recording = new MemoryRecording()
    recording.put("talk", live(1).chunks, { live: true })
    yield* Effect.gen(function* () {
      const { rest } = yield* follow()
      const fiber = yield* Effect.forkChild(rest)
      recording.put("talk", live(1).chunks)
      yield* TestClock.adjust("9 seconds")
      recording.put("talk", live(2).chunks, { live: true })
      yield* TestClock.adjust("1 minute")
      recording.put("talk", live(3).chunks)
      yield* TestClock.adjust("9 seconds")
      assert.isUndefined(fiber.pollUnsafe())
      yield* TestClock.adjust("2 seconds")
      assert.strictEqual((yield* Fiber.join(fiber)).length, 3 * rate * 2)
      const after = yield* follow()
      assert.strictEqual((yield* after.rest).length, 3 * rate * 2)
    }).pipe(Effect.provide(node(recording)))
  })
)

it.effect("ends when a later audio file has begun, after all audio of its own", () =>
  Effect.gen(function* () {
    const recording = new MemoryRecording()
    recording.put("talk", live(1).chunks, { live: true })
    yield* Effect.gen(function* () {
      const { rest } = yield* follow()
      const fiber = yield* Effect.forkChild(rest)
      recording.put("talk", live(2, [{ start: t0 + 100, samples: rate }]).chunks, { live: true })
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* Fiber.join(fiber)).length, 2 * rate * 2)
    }).pipe(Effect.provide(node(recording)))
  })
)

it.effect("fails when audio is inserted before what was sent, or what was sent is lost", () =>
  Effect.gen(function* () {
    const gap = [{ start: t0 + 3, samples: rate }]
    const changes = {
      inserted: live(2, [...gap, { start: t0 + 4, samples: rate }]).chunks,
      lost: [...live(1).chunks, { start: t0 + 3, samples: rate, state: "lost" as const }, { start: t0 + 4 }],
      gone: [{ start: t0 + 200 }]
    }
    for (const [name, chunks] of Object.entries(changes)) {
      const recording = new MemoryRecording()
      recording.put("talk", live(1, gap).chunks, { live: true })
      yield* Effect.gen(function* () {
        const [one, other] = [yield* follow(), yield* follow()]
        const fibers = yield* Effect.forEach([one, other], ({ rest }) => Effect.forkChild(rest))
        recording.put("talk", chunks, { live: true })
        yield* TestClock.adjust("1 second")
        for (const fiber of fibers) {
          const failure = yield* Effect.flip(Fiber.join(fiber))
          assert.strictEqual(failure._tag, "AudioFileChanged", name)
        }
        assert.strictEqual(one.heard().length, 4 * rate * 2)
      }).pipe(Effect.provide(node(recording)))
    }
  })
)

it.effect("fails when what was sent was stored anew, although as much audio was added as is new", () =>
  Effect.gen(function* () {
    const recording = new MemoryRecording()
    recording.put("talk", live(1).chunks, { live: true })
    yield* Effect.gen(function* () {
      const { heard, rest } = yield* follow()
      const fiber = yield* Effect.forkChild(rest)
      recording.version = "1"
      recording.put("talk", live(2).chunks, { live: true })
      yield* TestClock.adjust("1 second")
      const failure = yield* Effect.flip(Fiber.join(fiber))
      assert.deepStrictEqual([failure._tag, heard().length], ["AudioFileChanged", rate * 2])
    }).pipe(Effect.provide(node(recording)))
  })
)

it.effect("lets a slow reader have everything, without keeping it in memory", () =>
  Effect.gen(function* () {
    const recording = new MemoryRecording()
    recording.put("talk", live(1).chunks, { live: true })
    yield* Effect.gen(function* () {
      const slow = yield* follow()
      for (let seconds = 2; seconds <= 60; seconds++) {
        recording.put("talk", live(seconds).chunks, { live: true })
        yield* TestClock.adjust("1 second")
      }
      recording.put("talk", live(60).chunks)
      yield* TestClock.adjust("11 seconds")
      const whole = MemoryRecording.pcm({ start: t0, samples: 60 * rate })
      assert.isTrue((yield* slow.rest).equals(whole))
    }).pipe(Effect.provide(node(recording)))
  })
)

it.effect("looks again when the database was down", () =>
  Effect.gen(function* () {
    const recording = new MemoryRecording()
    recording.put("talk", live(1).chunks, { live: true })
    yield* Effect.gen(function* () {
      const { rest } = yield* follow()
      const fiber = yield* Effect.forkChild(rest)
      recording.databaseDown = true
      recording.put("talk", live(2).chunks, { live: true })
      yield* TestClock.adjust("1 second")
      recording.databaseDown = false
      yield* TestClock.adjust("10 seconds")
      recording.put("talk", live(2).chunks)
      yield* TestClock.adjust("11 seconds")
      assert.strictEqual((yield* Fiber.join(fiber)).length, 2 * rate * 2)
    }).pipe(Effect.provide(node(recording)))
  })
)

it.effect("fails when the node stops", () =>
  Effect.gen(function* () {
    const recording = new MemoryRecording()
    recording.put("talk", live(1).chunks, { live: true })
    const stop = yield* Deferred.make<void>()
    yield* Effect.gen(function* () {
      const { rest } = yield* follow()
      const fiber = yield* Effect.forkChild(rest)
      yield* Effect.yieldNow
      yield* Deferred.succeed(stop, undefined)
      assert.strictEqual((yield* Effect.flip(Fiber.join(fiber)))._tag, "Problem")
    }).pipe(Effect.provide(node(recording, Deferred.await(stop))))
  })
)
