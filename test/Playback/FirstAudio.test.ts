/** The bound on the time until the first audio is read. */
import { assert, it } from "@effect/vitest"
import { Cause, Effect, Exit, Fiber, Layer } from "effect"
import { TestClock } from "effect/testing"
import { FirstAudio } from "../../src/Playback/FirstAudio.ts"
import { PlaybackConfig } from "../../src/Playback/PlaybackConfig.ts"
import { environment } from "../support/Settings.ts"

const layer = FirstAudio.layer.pipe(Layer.provide(PlaybackConfig.layer), Layer.provide(environment({})))

it.effect("counts a second read for the same request from the start of the first one", () =>
  Effect.gen(function* () {
    const { within } = yield* FirstAudio
    const { firstAudio } = yield* PlaybackConfig
    const isLate = (fiber: Fiber.Fiber<unknown, unknown>) =>
      Effect.map(Fiber.await(fiber), (exit) => Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause))
    const request = {}
    const first = yield* Effect.forkChild(within(request, "standup", Effect.never))
    yield* TestClock.adjust(firstAudio)
    assert.isTrue(yield* isLate(first))
    const second = yield* Effect.forkChild(within(request, "standup", Effect.never))
    yield* TestClock.adjust("1 millis")
    assert.isTrue(yield* isLate(second))
    const other = yield* Effect.forkChild(within({}, "standup", Effect.never))
    yield* TestClock.adjust("1 millis")
    assert.isUndefined(other.pollUnsafe())
  }).pipe(Effect.provide(Layer.provideMerge(layer, PlaybackConfig.layer.pipe(Layer.provide(environment({}))))))
)
