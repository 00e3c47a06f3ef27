/** How long requests to the bucket may take, and when they are made again, on a clock that the test moves. */
import { assert, it } from "@effect/vitest"
import { Clock, Duration, Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"
import { PlaybackConfig } from "../../../src/Playback.ts"
import * as Settings from "../../../src/Settings.ts"
import { broken, cut } from "../../../src/Storage/Gcs/Fault.ts"
import { GcsConfig } from "../../../src/Storage/Gcs/GcsConfig.ts"
import * as GcsPolicy from "../../../src/Storage/Gcs/Policy.ts"
import * as GcsWatch from "../../../src/Storage/Gcs/Watchdog.ts"

const defaults = Effect.provide(GcsConfig, GcsConfig.layer)

it.effect("waits 200 ms, then twice as long each time up to 8 s, varied by a fifth, and gives up after 60 s", () =>
  Effect.gen(function* () {
    const limits = yield* defaults
    const times: Array<number> = []
    const failing = Effect.andThen(
      Effect.map(Clock.currentTimeMillis, (now) => times.push(now)),
      Effect.fail(cut("no"))
    )
    const fiber = yield* Effect.forkChild(Effect.flip(GcsPolicy.retry(limits, failing)))
    yield* TestClock.adjust("2 minutes")
    const failure = yield* Fiber.join(fiber)
    assert.strictEqual(failure.message, "no; given up after 1m")
    const waits = times.slice(1).map((time, i) => time - (times[i] ?? 0))
    assert.isAbove(waits.length, 9)
    for (const [i, wait] of waits.entries()) {
      const planned = Math.min(200 * 2 ** i, 8_000)
      assert.isAtLeast(wait, planned * 0.8 - 1)
      assert.isAtMost(wait, planned * 1.2 + 1)
    }
    assert.isAtMost(times.at(-1) ?? 0, 60_000)
  })
)

it.effect("does not try again what no repetition mends", () =>
  Effect.gen(function* () {
    const limits = yield* defaults
    let attempts = 0
    const failing = Effect.suspend(() => Effect.fail(broken(`no ${++attempts}`)))
    assert.strictEqual((yield* Effect.flip(GcsPolicy.retry(limits, failing))).message, "no 1")
  })
)

/** Seconds after which a request is cut that moves after each of these seconds. */
const cutAfter = Effect.fnUntraced(function* (
  watch: GcsWatch.GcsWatch,
  moves: ReadonlyArray<number>,
  attempt: GcsWatch.Attempt = "other"
) {
  const clock = yield* Clock.Clock
  const start = clock.currentTimeMillisUnsafe()
  const cuts: Array<number> = []
  const watched = watch.begin(attempt, () => cuts.push((clock.currentTimeMillisUnsafe() - start) / 1_000))
  for (const seconds of moves) {
    yield* TestClock.adjust(Duration.seconds(seconds))
    watched.moved()
  }
  yield* TestClock.adjust("1 minute")
  return cuts
})

it.effect("cuts a request within half a second after 10 s without progress, and after 30 s in all", () =>
  Effect.gen(function* () {
    const watch = yield* GcsWatch.make(yield* defaults)
    assert.deepStrictEqual(yield* cutAfter(watch, []), [10.5])
    watch.begin("other", () => assert.fail("cut after it was done")).rest()
    assert.deepStrictEqual(yield* cutAfter(watch, [9]), [19.5])
    assert.deepStrictEqual(yield* cutAfter(watch, [4, 4, 4]), [22.5])
    assert.deepStrictEqual(yield* cutAfter(watch, [9, 9, 9]), [30.5])
    yield* TestClock.adjust("400 millis")
    assert.deepStrictEqual(yield* cutAfter(watch, []), [10.1])
  })
)

it.effect("cuts the first attempt of a read before half of the time that a listener waits", () =>
  Effect.gen(function* () {
    const listener = yield* Settings.read({ firstAudio: PlaybackConfig.settings.firstAudio })
    const watch = yield* GcsWatch.make(yield* defaults)
    const [cut = 0] = yield* cutAfter(watch, [], "first")
    assert.strictEqual(cut, 4.5)
    assert.isBelow(cut, Duration.toSeconds(listener.firstAudio) / 2)
    assert.deepStrictEqual(yield* cutAfter(watch, [3, 3], "first"), [10.5])
  })
)

it.effect("cuts a request whatever the time of day is meanwhile", () =>
  Effect.gen(function* () {
    const clock = yield* Clock.Clock
    let now = 1e12
    const backwards: Clock.Clock = Object.create(clock, {
      currentTimeMillisUnsafe: { value: () => (now -= 3_600_000) }
    })
    const watch = yield* GcsWatch.make(yield* defaults).pipe(Effect.provideService(Clock.Clock, backwards))
    assert.deepStrictEqual(yield* cutAfter(watch, []), [10.5])
  })
)

it.effect(
  "does not cut a request while it rests, gives it all its time when it runs again, and tells how much has passed",
  () =>
    Effect.gen(function* () {
      const watch = yield* GcsWatch.make(yield* defaults)
      const cuts: Array<string> = []
      const watched = watch.begin("other", ({ message }) => cuts.push(message))
      yield* TestClock.adjust("9 seconds")
      watched.rest()
      yield* TestClock.adjust("1 hour")
      assert.deepStrictEqual(cuts, [])
      const before = watch.elapsed()
      watched.run()
      yield* TestClock.adjust("9 seconds")
      watched.run()
      assert.deepStrictEqual(cuts, [])
      assert.strictEqual(watch.elapsed() - before, 9_000)
      yield* TestClock.adjust("2 seconds")
      assert.deepStrictEqual(cuts, ["no progress for 10s"])
    })
)
