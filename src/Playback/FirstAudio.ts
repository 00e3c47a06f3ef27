/** Bounds the time until the first audio of a response is read. */
import { Context, Duration, Effect, Layer } from "effect"
import * as Deadlines from "../Deadlines.ts"
import { Expiry, Problem } from "../Http.ts"
import { PlaybackConfig } from "../Playback.ts"

export class FirstAudio extends Context.Service<
  FirstAudio,
  {
    /**
     * The request is answered with 503 if the first audio of the conversation is not read in time. The time of a second read
     * for the same request counts from the start of the first one.
     */
    within<A, E, R>(request: object, conversation: string, read: Effect.Effect<A, E, R>): Effect.Effect<A, E, R>
  }
>()("spillway/Playback/FirstAudio") {
  static readonly layer = Layer.effect(
    FirstAudio,
    Effect.gen(function* () {
      const { firstAudio } = yield* PlaybackConfig
      const millis = Duration.toMillis(firstAudio)
      const deadlines = yield* Deadlines.make
      /** When the failed reads of requests began. */
      const begun = new WeakMap<object, number>()
      return FirstAudio.of({
        within: (request, conversation, read) =>
          Effect.suspend(() => {
            const began = begun.get(request) ?? deadlines.now()
            const left = began + millis - deadlines.now()
            const bounded = Expiry.within(deadlines, left, () => late(conversation, firstAudio), read)
            return Effect.onExitPrimitive(bounded, (exit) => {
              if (exit._tag === "Failure") begun.set(request, began)
              return undefined
            })
          })
      })
    })
  )
}

const late = (conversation: string, waited: Duration.Duration) =>
  Problem.unavailable(
    "audio-late",
    "The audio could not be read in time",
    `No audio of ${conversation} was read within ${Duration.format(waited)}. Try again later.`,
    5
  )
