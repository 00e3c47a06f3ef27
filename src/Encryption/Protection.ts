/** Encryption at rest: what is `enhanced` is sealed before the store gets it, and opened where it is read. */
import { Context, Effect, Layer, Option, Schema } from "effect"
import type { DbError } from "../Db.ts"
import { SettingsInvalid } from "../Settings.ts"
import * as Cipher from "./Cipher.ts"
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
    /** The bytes to store in place of `audio`; other ones each time. Fails only while the secret's first use can't be noted. */
    seal(uid: string, audio: Uint8Array): Effect.Effect<Uint8Array, DbError>
    /** The audio of whole records. They prove themselves, not that none is missing: compare the length. */
    open(uid: string, sealed: Uint8Array): Effect.Effect<Uint8Array, NotSealed>
  }
>()("spillway/Encryption/Protection") {
  /** Takes no notes. */
  static readonly layer = Layer.effect(
    Protection,
    Effect.suspend(() => make({ isNoted: () => true, note: () => Effect.void }))
  )
}

/** Notes of the secrets that something is sealed with, by their fingerprints. */
export interface Notes {
  readonly isNoted: (fingerprint: string) => boolean
  readonly note: (fingerprint: string) => Effect.Effect<void, DbError>
}

const leastSealed = SealedRecords.sealedSize(1)
const tooShort = `it is shorter than any encrypted audio, ${leastSealed} bytes`

export const make = Effect.fnUntraced(function* ({ isNoted, note }: Notes) {
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
  const fingerprints = known.map(Cipher.fingerprint)
  const [newest = ""] = fingerprints
  const asked = new Set<string>()

  /** Of what was sealed elsewhere: the first who opens something of it waits for the note, and can do without. */
  const noteOpened = (fingerprint: string): Effect.Effect<void> =>
    Effect.suspend(() => {
      if (asked.has(fingerprint)) return Effect.void
      asked.add(fingerprint)
      return Effect.ignore(Effect.onError(note(fingerprint), () => Effect.sync(() => asked.delete(fingerprint))))
    })

  return Protection.of({
    level: config.level,
    seal: (uid, audio) => {
      const sealed = Effect.suspend(() => {
        const [key] = keys.of(uid)
        return key === undefined
          ? Effect.die(new Error("there is no secret to seal with"))
          : Effect.succeed(SealedRecords.seal(key, audio))
      })
      return Effect.suspend(() => (isNoted(newest) ? sealed : Effect.andThen(note(newest), sealed)))
    },
    open: (uid, sealed) =>
      Effect.suspend(() => {
        const candidates = keys.of(uid)
        return Option.match(SealedRecords.open(candidates, sealed), {
          onNone: () => new NotSealed({ uid, reason: sealed.length < leastSealed ? tooShort : reason }),
          onSome: ({ audio, key }): Effect.Effect<Uint8Array, NotSealed> => {
            const fingerprint = key === undefined ? undefined : fingerprints[candidates.indexOf(key)]
            return fingerprint === undefined || isNoted(fingerprint)
              ? Effect.succeed(audio)
              : Effect.as(noteOpened(fingerprint), audio)
          }
        })
      })
  })
})
