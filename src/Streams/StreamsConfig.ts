/** Times and bounds of streams. */
import { Context } from "effect"
import * as Settings from "../Settings.ts"

const settings = {
  grace: Settings.constant(
    Settings.duration("STREAM_GRACE", "30 seconds", "How long a broadcast waits for its capture to come back")
  ),
  heartbeat: Settings.constant(
    Settings.duration(
      "STREAM_HEARTBEAT",
      "3 seconds",
      "How often a node says which broadcasts it feeds; a tenth of the grace, so that some may fail"
    )
  ),
  listenersPerNode: Settings.constant(
    Settings.integer(
      "STREAM_LISTENERS_PER_NODE",
      2_000,
      { min: 1, max: 1_000_000 },
      "Listeners of all streams on a node; the next one is answered 503"
    )
  ),
  listenersPerStream: Settings.constant(
    Settings.integer(
      "STREAM_LISTENERS_PER_STREAM",
      1_000,
      { min: 1, max: 1_000_000 },
      "Listeners of a stream on a node; the next one is answered 503"
    )
  ),
  viewers: Settings.constant(
    Settings.integer(
      "STREAM_VIEWERS",
      2_000,
      { min: 1, max: 1_000_000 },
      "Responses of `/events` of streams on a node; the next one is answered 503"
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
