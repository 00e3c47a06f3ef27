/** Bounds of playback. */
import { Context } from "effect"
import * as Settings from "../Settings.ts"

const settings = {
  audioFileGap: Settings.duration(
    "SPILLWAY_AUDIO_FILE_GAP",
    "90 seconds",
    "Longest gap within one audio file, played as silence; after a longer one a new audio file begins"
  )
}

export class PlaybackConfig extends Context.Service<PlaybackConfig, Settings.Values<typeof settings>>()(
  "spillway/Playback/PlaybackConfig"
) {
  static readonly settings = settings
  static readonly layer = Settings.layer(this, settings)
}
