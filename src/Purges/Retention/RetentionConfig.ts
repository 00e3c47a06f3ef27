/** How long conversations are kept. */
import { Context } from "effect"
import * as Settings from "../../Settings.ts"

const settings = {
  retentionDays: Settings.integer(
    "SPILLWAY_RETENTION_DAYS",
    0,
    { min: 0, max: 36_500 },
    "Days after its end at which a conversation is deleted, with all of its audio; 0 keeps it for ever. A user's own setting comes first. Set it to what your privacy policy promises."
  ),
  interval: Settings.constant(
    Settings.duration("RETENTION_INTERVAL", "10 minutes", "Pause after the conversations of all users were checked")
  )
}

export class RetentionConfig extends Context.Service<RetentionConfig, Settings.Values<typeof settings>>()(
  "spillway/Purges/Retention/RetentionConfig"
) {
  static readonly settings = settings
  static readonly layer = Settings.layer(this, settings)
}
