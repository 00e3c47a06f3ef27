/** Times and bounds of speaker samples. */
import { Context } from "effect"
import * as Settings from "../Settings.ts"

const settings = {
  delay: Settings.constant(
    Settings.duration(
      "SPEAKER_SAMPLE_DELAY",
      "120 seconds",
      "Time from the request of a sample to its first attempt: by then its audio and its transcript are usually stored."
    )
  ),
  recheck: Settings.constant(
    Settings.duration(
      "SPEAKER_SAMPLE_RECHECK",
      "1 minute",
      "Time after which a sample that lacks audio is tried again."
    )
  ),
  patience: Settings.constant(
    Settings.duration(
      "SPEAKER_SAMPLE_PATIENCE",
      "15 minutes",
      "How long after the request a sample waits for segments and audio. Then it is cut from what is there."
    )
  )
}

export class SpeakerSamplesConfig extends Context.Service<SpeakerSamplesConfig, Settings.Values<typeof settings>>()(
  "spillway/SpeakerSamples/SpeakerSamplesConfig"
) {
  static readonly settings = settings
  static readonly layer = Settings.layer(this, settings)
}
