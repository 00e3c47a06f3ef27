/** What applies to users without settings of their own. */
import { Context } from "effect"
import * as Settings from "../Settings.ts"

const settings = {
  storeAudio: Settings.choice(
    "SPILLWAY_STORE_AUDIO",
    "yes",
    ["yes", "no"],
    "Whether the audio of users without a setting of their own is stored. Set `no` where users must opt in: their audio is then received and neither written nor acknowledged."
  )
}

export class UsersConfig extends Context.Service<UsersConfig, Settings.Values<typeof settings>>()(
  "spillway/Users/UsersConfig"
) {
  static readonly settings = settings
  static readonly layer = Settings.layer(this, settings)
}
