/** Deadlines and retries of requests to the bucket, on a virtual clock. */
import { assert, it } from "@effect/vitest"
import { Clock, Duration, Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"
import { PlaybackConfig } from "../../../src/Playback.ts"
import * as Settings from "../../../src/Settings.ts"
import { permanent, transient } from "../../../src/Storage/Gcs/Fault.ts"
import { GcsConfig } from "../../../src/Storage/Gcs/GcsConfig.ts"
import * as Policy from "../../../src/Storage/Gcs/Policy.ts"
import * as Watchdog from "../../../src/Storage/Gcs/Watchdog.ts"

const defaults = Effect.provide(GcsConfig, GcsConfig.layer)

it.effect("waits 200 ms, doubles the delay up to 8 s with a jitter of a fifth, and gives up after 60 s", () =>
  Effect.gen(function* () {
    const limits = yield* defaults
    const times: Array<number> = []
    const failing = Effect.andThen(
      Effect.map(Clock.currentTimeMillis, (now) => times.push(now)),
      Effect.fail(transient("no"))
    )
    const fiber = yield* Effect.forkChild(Effect.flip(Policy.retry(limits, failing)))
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

it.effect("does not retry permanent errors", () =>
  Effect.gen(function* () {
    const limits = yield* defaults
    let attempts = 0
    const failing = Effect.suspend(() => Effect.fail(permanent(`no ${++attempts}`)))
    assert.strictEqual((yield* Effect.flip(Policy.retry(limits, failing))).message, "no 1")
  })
)

/** Seconds after which a request is aborted that makes progress at these intervals. */
const abortsAfter = Effect.fnUntraced(function* (
  watch: Watchdog.Watchdog,
  moves: ReadonlyArray<number>,
  attempt: Watchdog.Attempt = "other"
) {
  const clock = yield* Clock.Clock
  const start = clock.currentTimeMillisUnsafe()
  const aborts: Array<number> = []
  const timer = watch.start(attempt, () => aborts.push((clock.currentTimeMillisUnsafe() - start) / 1_000))
  for (const seconds of moves) {
    yield* TestClock.adjust(Duration.seconds(seconds))
    timer.onProgress()
  }
  yield* TestClock.adjust("1 minute")
  return aborts
})

it.effect("aborts a request within half a second after 10 s without progress, and after 30 s in all", () =>
  Effect.gen(function* () {
    const watch = yield* Watchdog.make(yield* defaults)
    assert.deepStrictEqual(yield* abortsAfter(watch, []), [10.5])
    watch.start("other", () => assert.fail("aborted after it was done")).stop()
    assert.deepStrictEqual(yield* abortsAfter(watch, [9]), [19.5])
    assert.deepStrictEqual(yield* abortsAfter(watch, [4, 4, 4]), [22.5])
    assert.deepStrictEqual(yield* abortsAfter(watch, [9, 9, 9]), [30.5])
    yield* TestClock.adjust("400 millis")
    assert.deepStrictEqual(yield* abortsAfter(watch, []), [10.1])
  })
)

it.effect("aborts a read's first attempt before half of a listener's timeout", () =>
  Effect.gen(function* () {
    const listener = yield* Settings.read({ firstAudio: PlaybackConfig.settings.firstAudio })
    const watch = yield* Watchdog.make(yield* defaults)
    const [seconds = 0] = yield* abortsAfter(watch, [], "first")
    assert.strictEqual(seconds, 4.5)
    assert.isBelow(seconds, Duration.toSeconds(listener.firstAudio) / 2)
    assert.deepStrictEqual(yield* abortsAfter(watch, [3, 3], "first"), [10.5])
  })
)

it.effect("aborts a request in time when the wall clock changes", () =>
  Effect.gen(function* () {
    const clock = yield* Clock.Clock
    let now = 1e12
    const backwards: Clock.Clock = Object.create(clock, {
      currentTimeMillisUnsafe: { value: () => (now -= 3_600_000) }
    })
    const watch = yield* Watchdog.make(yield* defaults).pipe(Effect.provideService(Clock.Clock, backwards))
    assert.deepStrictEqual(yield* abortsAfter(watch, []), [10.5])
  })
)

it.effect("does not abort a request while its timer is paused, and restarts the timer from zero", () =>
  Effect.gen(function* () {
    const watch = yield* Watchdog.make(yield* defaults)
    const aborts: Array<string> = []
    const timer = watch.start("other", ({ message }) => aborts.push(message))
    yield* TestClock.adjust("9 seconds")
    timer.stop()
    yield* TestClock.adjust("1 hour")
    assert.deepStrictEqual(aborts, [])
    const before = watch.elapsed()
    timer.start()
    yield* TestClock.adjust("9 seconds")
    timer.start()
    assert.deepStrictEqual(aborts, [])
    assert.strictEqual(watch.elapsed() - before, 9_000)
    yield* TestClock.adjust("2 seconds")
    assert.deepStrictEqual(aborts, ["no progress for 10s"])
  })
)
