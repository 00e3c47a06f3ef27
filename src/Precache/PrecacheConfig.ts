/** Bounds of precaching. */
import { Context } from "effect"
import * as Settings from "../Settings.ts"

const settings = {
  when: Settings.choice(
    "SPILLWAY_PRECACHE",
    "finished",
    ["finished", "requested"],
    "When audio files are merged for download from the bucket: when their conversation has ended and when a client requests it, or only then. A merged file is stored for 3 days besides its chunks: choose `requested` if that costs more than your server's traffic."
  ),
  permits: Settings.constant(
    Settings.integer(
      "PRECACHE_PERMITS",
      4,
      { min: 1, max: 64 },
      "Artifacts that this node makes at once; the rest wait."
    )
  ),
  timeToLive: Settings.constant(Settings.duration("PRECACHE_TTL", "3 days", "How long an artifact is stored.")),
  reserve: Settings.constant(
    Settings.bytes(
      "PRECACHE_RESERVE",
      "1 GiB",
      "Free space on a disk that merges leave for the journal and new recordings. A merge that needs it has failed."
    )
  ),
  temporary: Settings.constant(
    Settings.duration("PRECACHE_TEMPORARY", "1 hour", "When the temporary objects of a killed merge are deleted.")
  ),
  /** Shorter than `temporary`, which a merge would otherwise outlive. */
  deadline: Settings.constant(
    Settings.duration("PRECACHE_DEADLINE", "45 minutes", "Time to make one artifact; a slower one has failed.")
  ),
  settle: Settings.constant(
    Settings.duration(
      "PRECACHE_SETTLE",
      "1 minute",
      "When the objects that a merge leaves are deleted: one that was being written when it ended is there by then."
    )
  ),
  quiet: Settings.constant(
    Settings.duration("PRECACHE_QUIET", "5 minutes", "Time without new audio after which a conversation has ended.")
  )
}

export class PrecacheConfig extends Context.Service<PrecacheConfig, Settings.Values<typeof settings>>()(
  "spillway/Precache/PrecacheConfig"
) {
  static readonly settings = settings
  static readonly layer = Settings.layer(this, settings)
}
