/** Encryption at rest: what is `enhanced` is sealed before the store gets it, and opened where it is read. */
import { Context, Effect, Layer, Option, Schema } from "effect"
import { SettingsInvalid } from "../Settings.ts"
import { ProtectionConfig, secrets } from "./ProtectionConfig.ts"
import * as SealedRecords from "./SealedRecords.ts"
import * as UserKeys from "./UserKeys.ts"

/** Bytes are not what was sealed for this user: tampered with, damaged, cut off, or sealed with a secret that is not known here. */
export class NotSealed extends Schema.TaggedError<NotSealed>()("NotSealed", {
  uid: Schema.String,
  reason: Schema.String
}) {
  override get message() {
    return this.reason
  }
}

export class Protection extends Context.Service<
  Protection,
  {
    /** What new audio gets. */
    readonly level: "standard" | "enhanced"
    /** The bytes to store in place of `audio`; other ones each time. */
    seal(uid: string, audio: Uint8Array): Effect.Effect<Uint8Array>
    /** The audio of whole records. They prove themselves, not that none is missing: compare the length. */
    open(uid: string, sealed: Uint8Array): Effect.Effect<Uint8Array, NotSealed>
  }
>()("spillway/Storage/Protection") {
  static readonly layer = Layer.effect(
    Protection,
    Effect.suspend(() => make)
  )
}

const make = Effect.gen(function* () {
  const config = yield* ProtectionConfig
  const known = secrets(config)
  if (config.level === "enhanced" && known.length === 0) {
    const { env, expected } = ProtectionConfig.settings.masterSecrets
    return yield* new SettingsInvalid({
      problems: [{ env, found: "nothing", expected: `${expected}, because SPILLWAY_PROTECTION is enhanced` }]
    })
  }
  const reason =
    known.length === 0
      ? "it is encrypted, and SPILLWAY_MASTER_SECRETS is not set"
      : "it is damaged, or encrypted with a secret that is not among SPILLWAY_MASTER_SECRETS"
  const keys = UserKeys.make(known, config.keys)

  return Protection.of({
    level: config.level,
    seal: (uid, audio) =>
      Effect.suspend(() => {
        const [key] = keys.of(uid)
        return key === undefined
          ? Effect.die(new Error("there is no secret to seal with"))
          : Effect.succeed(SealedRecords.seal(key, audio))
      }),
    open: (uid, sealed) =>
      Effect.suspend(() =>
        Option.match(SealedRecords.open(keys.of(uid), sealed), {
          onNone: () => new NotSealed({ uid, reason }),
          onSome: (audio): Effect.Effect<Uint8Array, NotSealed> => Effect.succeed(audio)
        })
      )
  })
})
