/** Whether audio is encrypted at rest, and with which secrets. */
import { Context, Option, Redacted, Result } from "effect"
import * as Settings from "../Settings.ts"
import * as Cipher from "./Cipher.ts"

const largest = 16

/** The secrets in the setting's text, or the mistake in one of them, in words that don't contain it. */
const secretsOf = (text: string): Result.Result<ReadonlyArray<Uint8Array>, string> => {
  const entries = text.split(",")
  if (entries.length > largest) return Result.fail(`${entries.length} entries`)
  return Result.all(
    entries.map((entry, index) =>
      Result.mapError(Cipher.parseSecret(entry.trim()), (mistake) => `entry ${index + 1} that ${mistake}`)
    )
  )
}

const settings = {
  level: Settings.choice(
    "SPILLWAY_PROTECTION",
    "standard",
    ["standard", "enhanced"],
    "Set `enhanced` when the store must not see audio: new audio is encrypted before it is uploaded, with a separate key for each user. Stored audio is not changed."
  ),
  masterSecrets: Settings.optionalSecret(
    "SPILLWAY_MASTER_SECRETS",
    `1 to ${largest} secrets of at least ${Cipher.secretSize} bytes in base64 (\`openssl rand -base64 32\`), separated by commas`,
    (raw) => Result.isSuccess(secretsOf(raw)),
    "Secrets that the users' keys are derived from: the first one for new audio, the others to read older audio. Set it with `enhanced`; to rotate, put a new secret first and keep the others. Audio whose secret is lost can't be read.",
    (raw) => Result.getOrElse(Result.flip(secretsOf(raw)), () => "")
  ),
  keys: Settings.constant(
    Settings.integer(
      "PROTECTION_KEYS",
      4_096,
      { min: 1, max: 1_000_000 },
      "Users whose derived keys are cached. The least recently used one is evicted and derived again when needed."
    )
  )
}

export class ProtectionConfig extends Context.Service<ProtectionConfig, Settings.Values<typeof settings>>()(
  "spillway/Encryption/ProtectionConfig"
) {
  static readonly settings = settings
  static readonly layer = Settings.layer(this, settings, ({ level, masterSecrets }) => {
    const { env, expected } = settings.masterSecrets
    return level === "enhanced" && Option.isNone(masterSecrets)
      ? [{ env, found: "nothing", expected: `${expected}, because SPILLWAY_PROTECTION is enhanced` }]
      : []
  })
}

export function secrets(config: ProtectionConfig["Service"]): ReadonlyArray<Uint8Array> {
  return Option.match(config.masterSecrets, {
    onNone: () => [],
    onSome: (text) => Result.getOrElse(secretsOf(Redacted.value(text)), () => [])
  })
}
