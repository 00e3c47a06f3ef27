/** What following costs, and how it ends, on recordings in memory. */
import { assert, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Layer, Option, Scope } from "effect"
import { TestClock } from "effect/testing"
import { BulkheadConfig } from "../../../src/Bulkhead/BulkheadConfig.ts"
import { Follow } from "../../../src/Playback/Follow/Follow.ts"
import * as Following from "../../../src/Playback/Follow/Following.ts"
import { Playback, PlaybackConfig } from "../../../src/Playback.ts"
import { Readiness } from "../../../src/Readiness.ts"
import * as Settings from "../../support/Settings.ts"
import { MemoryRecording, rate, t0 } from "../support/MemoryRecording.ts"
import { idOf } from "../support/ServedAudio.ts"

const node = (recording: MemoryRecording, draining: Effect.Effect<void> = Effect.never) =>
  Following.layer.pipe(
    Layer.provideMerge(Playback.layer),
    Layer.provide([recording.layer, PlaybackConfig.layer, BulkheadConfig.layer, Layer.mock(Readiness, { draining })]),
    Layer.provide(Settings.environment({}))
  )

type Chunks = Parameters<MemoryRecording["put"]>[1]

/** Seconds of audio. */
const live = (seconds: number, more: Chunks = []): Chunks => [
  ...Array.from({ length: seconds }, (_, index) => ({ start: t0 + index, samples: rate })),
  ...more
]

/** On a node that records a conversation, a second of it so far. */
const onNode = <A, E>(
  test: (talk: {
    readonly recording: MemoryRecording
    record(chunks: Chunks): void
    end(chunks: Chunks): void
  }) => Effect.Effect<A, E, Follow>,
  { begun = live(1), draining }: { readonly begun?: Chunks; readonly draining?: Effect.Effect<void> } = {}
) =>
  Effect.suspend(() => {
    const recording = new MemoryRecording()
    const record = (chunks: Chunks) => recording.put("talk", chunks, { live: true })
    record(begun)
    return Effect.provide(
      test({ recording, record, end: (chunks) => recording.put("talk", chunks) }),
      node(recording, draining)
    )
  })

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
  onNode(
    Effect.fnUntraced(function* ({ recording, record, end }) {
      const all = yield* Effect.forEach(Array.from({ length: 200 }), () => follow())
      assert.strictEqual(recording.snapshots, 1)
      const fibers = yield* Effect.forEach(all, ({ rest }) => Effect.forkChild(rest))
      const before = recording.bytesRead
      for (let seconds = 2; seconds <= 5; seconds++) {
        record(live(seconds))
        yield* TestClock.adjust("1 second")
      }
      assert.strictEqual(recording.snapshots, 5)
      // Each second is read once for all.
      assert.strictEqual(recording.bytesRead - before, 4 * rate * 2)
      end(live(5))
      yield* TestClock.adjust("11 seconds")
      const whole = MemoryRecording.pcm({ start: t0, samples: 5 * rate })
      for (const fiber of fibers) assert.isTrue((yield* Fiber.join(fiber)).equals(whole))
      yield* Effect.forEach(all, ({ close }) => close)
      // The last response has ended.
      record(live(7))
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(recording.snapshots, 5)
    })
  )
)

it.effect("continues when a device reconnects in time, and ends when none does", () =>
  onNode(
    Effect.fnUntraced(function* ({ record, end }) {
      const { rest } = yield* follow()
      const fiber = yield* Effect.forkChild(rest)
      end(live(1))
      yield* TestClock.adjust("9 seconds")
      record(live(2))
      yield* TestClock.adjust("1 minute")
      end(live(3))
      yield* TestClock.adjust("9 seconds")
      assert.isUndefined(fiber.pollUnsafe())
      yield* TestClock.adjust("2 seconds")
      assert.strictEqual((yield* Fiber.join(fiber)).length, 3 * rate * 2)
      const after = yield* follow()
      assert.strictEqual((yield* after.rest).length, 3 * rate * 2)
    })
  )
)

it.effect("ends when a later audio file has begun, after all audio of its own", () =>
  onNode(
    Effect.fnUntraced(function* ({ record }) {
      const { rest } = yield* follow()
      const fiber = yield* Effect.forkChild(rest)
      record(live(2, [{ start: t0 + 100, samples: rate }]))
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* Fiber.join(fiber)).length, 2 * rate * 2)
    })
  )
)

it.effect("fails when audio is inserted before what was sent, or what was sent is lost", () =>
  Effect.gen(function* () {
    const gap = [{ start: t0 + 3, samples: rate }]
    const changes = {
      inserted: live(2, [...gap, { start: t0 + 4, samples: rate }]),
      lost: [...live(1), { start: t0 + 3, samples: rate, state: "lost" as const }, { start: t0 + 4 }],
      gone: [{ start: t0 + 200 }]
    }
    for (const [name, chunks] of Object.entries(changes)) {
      yield* onNode(
        Effect.fnUntraced(function* ({ record }) {
          const [one, other] = [yield* follow(), yield* follow()]
          const fibers = yield* Effect.forEach([one, other], ({ rest }) => Effect.forkChild(rest))
          record(chunks)
          yield* TestClock.adjust("1 second")
          for (const fiber of fibers) {
            const failure = yield* Effect.flip(Fiber.join(fiber))
            assert.strictEqual(failure._tag, "AudioFileChanged", name)
          }
          assert.strictEqual(one.heard().length, 4 * rate * 2)
        }),
        { begun: live(1, gap) }
      )
    }
  })
)

it.effect("fails when what was sent was stored anew, although as much audio was added as is new", () =>
  onNode(
    Effect.fnUntraced(function* ({ recording, record }) {
      const { heard, rest } = yield* follow()
      const fiber = yield* Effect.forkChild(rest)
      recording.version = "1"
      record(live(2))
      yield* TestClock.adjust("1 second")
      const failure = yield* Effect.flip(Fiber.join(fiber))
      assert.deepStrictEqual([failure._tag, heard().length], ["AudioFileChanged", rate * 2])
    })
  )
)

it.effect("lets a slow reader have everything, without keeping it in memory", () =>
  onNode(
    Effect.fnUntraced(function* ({ record, end }) {
      const slow = yield* follow()
      for (let seconds = 2; seconds <= 60; seconds++) {
        record(live(seconds))
        yield* TestClock.adjust("1 second")
      }
      end(live(60))
      yield* TestClock.adjust("11 seconds")
      const whole = MemoryRecording.pcm({ start: t0, samples: 60 * rate })
      assert.isTrue((yield* slow.rest).equals(whole))
    })
  )
)

it.effect("looks again when the database was down", () =>
  onNode(
    Effect.fnUntraced(function* ({ recording, record, end }) {
      const { rest } = yield* follow()
      const fiber = yield* Effect.forkChild(rest)
      recording.databaseDown = true
      record(live(2))
      yield* TestClock.adjust("1 second")
      recording.databaseDown = false
      yield* TestClock.adjust("10 seconds")
      end(live(2))
      yield* TestClock.adjust("11 seconds")
      assert.strictEqual((yield* Fiber.join(fiber)).length, 2 * rate * 2)
    })
  )
)

it.effect("fails when the node stops", () =>
  Effect.gen(function* () {
    const stop = yield* Deferred.make<void>()
    yield* onNode(
      Effect.fnUntraced(function* () {
        const { rest } = yield* follow()
        const fiber = yield* Effect.forkChild(rest)
        yield* Effect.yieldNow
        yield* Deferred.succeed(stop, undefined)
        assert.strictEqual((yield* Effect.flip(Fiber.join(fiber)))._tag, "Problem")
      }),
      { draining: Deferred.await(stop) }
    )
  })
)
