/** Bounds of playback. */
import { Context } from "effect"
import * as Settings from "../Settings.ts"

const settings = {
  audioFileGap: Settings.duration(
    "SPILLWAY_AUDIO_FILE_GAP",
    "90 seconds",
    "Longest gap within one audio file, played as silence; after a longer one a new audio file begins"
  ),
  firstAudio: Settings.duration(
    "SPILLWAY_FIRST_AUDIO_TIMEOUT",
    "10 seconds",
    "Time to read the first audio of a response, before which nothing of it is sent; when it takes longer, 503 is answered"
  ),
  responses: Settings.integer(
    "SPILLWAY_AUDIO_RESPONSES",
    1_000,
    { min: 1, max: 1_000_000 },
    "Responses with audio that this node sends at the same time, one or two SPILLWAY_READ_PIECE each; one more is answered 503"
  ),
  responsesPerUser: Settings.integer(
    "SPILLWAY_AUDIO_RESPONSES_PER_USER",
    32,
    { min: 1, max: 1_000_000 },
    "Responses with audio that are sent to one user at the same time; one more is answered 429"
  )
}

export class PlaybackConfig extends Context.Service<PlaybackConfig, Settings.Values<typeof settings>>()(
  "spillway/Playback/PlaybackConfig"
) {
  static readonly settings = settings
  static readonly layer = Settings.layer(this, settings)
}
