/** Bounds of playback. */
import { Context } from "effect"
import * as Settings from "../Settings.ts"

const settings = {
  firstAudio: Settings.constant(
    Settings.duration(
      "FIRST_AUDIO_TIMEOUT",
      "10 seconds",
      "Time to read the first audio of a response, which sends nothing before; a slower read is answered 503"
    )
  ),
  unreadableChunks: Settings.constant(
    Settings.integer(
      "UNREADABLE_CHUNKS",
      10_000,
      { min: 1, max: 1_000_000 },
      "Damaged chunks that are remembered, so that no part of them is played; the oldest one is forgotten"
    )
  ),
  unreadableTime: Settings.constant(
    Settings.duration(
      "UNREADABLE_TIME",
      "10 minutes",
      "How long a damaged chunk is remembered; a complete read clears it"
    )
  ),
  followInterval: Settings.constant(
    Settings.duration(
      "FOLLOW_INTERVAL",
      "250 millis",
      "Interval at which a file that is followed is polled for new audio, once for all its responses"
    )
  ),
  followGrace: Settings.constant(
    Settings.duration(
      "FOLLOW_GRACE",
      "10 seconds",
      "How long a file is still followed when nothing records its conversation, so that a device can reconnect"
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
