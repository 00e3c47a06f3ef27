/** Bounds of playback. */
import { Context } from "effect"
import * as Settings from "../Settings.ts"

const settings = {
  firstAudio: Settings.constant(
    Settings.duration(
      "FIRST_AUDIO_TIMEOUT",
      "10 seconds",
      "Time to read the first audio of a response, before which nothing of it is sent; when it takes longer, 503 is answered"
    )
  ),
  unreadableChunks: Settings.constant(
    Settings.integer(
      "UNREADABLE_CHUNKS",
      10_000,
      { min: 1, max: 1_000_000 },
      "Chunks that could not be read and are remembered, so that no part of a damaged one is played; the oldest is forgotten"
    )
  ),
  unreadableTime: Settings.constant(
    Settings.duration(
      "UNREADABLE_TIME",
      "10 minutes",
      "Time for which they are, unless the whole of one is read before"
    )
  ),
  responses: Settings.integer(
    "SPILLWAY_AUDIO_RESPONSES",
    1_000,
    { min: 1, max: 1_000_000 },
    "Responses with audio that this node sends at the same time, of up to 1 MiB of memory each; one more is answered 503. Raise it for more listeners, on a machine with the memory."
  ),
  responsesPerUser: Settings.integer(
    "SPILLWAY_AUDIO_RESPONSES_PER_USER",
    32,
    { min: 1, max: 1_000_000 },
    "Responses with audio that are sent to one user at the same time; one more is answered 429. Raise it where one key serves many listeners."
  )
}

export class PlaybackConfig extends Context.Service<PlaybackConfig, Settings.Values<typeof settings>>()(
  "spillway/Playback/PlaybackConfig"
) {
  static readonly settings = settings
  static readonly layer = Settings.layer(this, settings)
}
