/** Times of answers to requests to finish a conversation. */
import { Context } from "effect"
import * as Settings from "../Settings.ts"

const settings = {
  answerWithin: Settings.constant(
    Settings.duration(
      "FINALIZATION_ANSWER",
      "105 seconds",
      "Time in which a request to finish a conversation is answered. omi's backend asks again after 120 s."
    )
  )
}

export class FinalizationConfig extends Context.Service<FinalizationConfig, Settings.Values<typeof settings>>()(
  "spillway/Finalization/FinalizationConfig"
) {
  static readonly settings = settings
  static readonly layer = Settings.layer(this, settings)
}
