/** Bounds the time until the first audio of a response is read. */
import { Context, Duration, Effect, Layer } from "effect"
import * as Deadlines from "../Deadlines.ts"
import { Expiry, Problem } from "../Http.ts"
import { PlaybackConfig } from "../Playback.ts"

export class FirstAudio extends Context.Service<
  FirstAudio,
  {
    /** The request is answered with 503 if the first audio of the conversation is not read in time. */
    within<A, E, R>(conversation: string, read: Effect.Effect<A, E, R>): Effect.Effect<A, E, R>
  }
>()("spillway/Playback/FirstAudio") {
  static readonly layer = Layer.effect(
    FirstAudio,
    Effect.gen(function* () {
      const { firstAudio } = yield* PlaybackConfig
      const millis = Duration.toMillis(firstAudio)
      const deadlines = yield* Deadlines.make
      return FirstAudio.of({
        within: (conversation, read) => Expiry.within(deadlines, millis, () => late(conversation, firstAudio), read)
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
