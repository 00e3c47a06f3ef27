/** Times and bounds of streams. */
import { Context } from "effect"
import * as Settings from "../Settings.ts"

const settings = {
  grace: Settings.constant(
    Settings.duration("STREAM_GRACE", "30 seconds", "How long a broadcast waits for its capture to come back")
  ),
  beat: Settings.constant(
    Settings.duration(
      "STREAM_BEAT",
      "3 seconds",
      "How often a node says which broadcasts it feeds; a tenth of the grace, so that some may fail"
    )
  ),
  sweep: Settings.constant(
    Settings.duration("STREAM_SWEEP", "2 seconds", "How often broadcasts are searched that nothing feeds any more")
  )
}

export class StreamsConfig extends Context.Service<StreamsConfig, Settings.Values<typeof settings>>()(
  "spillway/Streams/StreamsConfig"
) {
  static readonly settings = settings
  static readonly layer = Settings.layer(this, settings)
}
