/** Whether audio is encrypted at rest, and with which secrets. */
import { Context, Option, Redacted } from "effect"
import * as Settings from "../Settings.ts"
import * as Cipher from "./Cipher.ts"

/** The secrets in the setting's text; none if one of them is not usable. */
export const secretsOf = (text: string): ReadonlyArray<Uint8Array> => {
  const secrets = text.split(",").map((each) => Cipher.parseSecret(each.trim()))
  return secrets.length <= 16 && secrets.every(Option.isSome) ? secrets.flatMap(Option.toArray) : []
}

const settings = {
  level: Settings.choice(
    "SPILLWAY_PROTECTION",
    "standard",
    ["standard", "enhanced"],
    "`enhanced`: new audio is encrypted before the store gets it, with a key of its own for each user. What is stored stays as it is."
  ),
  masterSecrets: Settings.optionalSecret(
    "SPILLWAY_MASTER_SECRETS",
    `1 to 16 secrets of at least ${Cipher.secretSize} bytes in base64 (\`openssl rand -base64 32\`), separated by commas`,
    (raw) => secretsOf(raw).length > 0,
    "What the users' keys are derived from: the first for new audio, the others to read older audio. Audio whose secret is lost is lost."
  ),
  keys: Settings.integer(
    "SPILLWAY_PROTECTION_KEYS",
    4_096,
    { min: 1, max: 1_000_000 },
    "Users whose derived keys are remembered; the one that was not needed for the longest is forgotten, and derived anew."
  )
}

export class ProtectionConfig extends Context.Service<ProtectionConfig, Settings.Values<typeof settings>>()(
  "spillway/Storage/ProtectionConfig"
) {
  static readonly settings = settings
  static readonly layer = Settings.layer(this, settings)
}

/** None if there are none. */
export const secrets = (config: ProtectionConfig["Service"]): ReadonlyArray<Uint8Array> =>
  Option.match(config.masterSecrets, { onNone: () => [], onSome: (text) => secretsOf(Redacted.value(text)) })
