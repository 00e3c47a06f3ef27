/** Encryption at rest. At level `enhanced`, audio is encrypted before it is stored, and decrypted where it is read. */
import { Context, Effect, Layer, Option, Schema } from "effect"
import type { DbError } from "../Db.ts"
import * as Cipher from "./Cipher.ts"
import { ProtectionConfig, secrets } from "./ProtectionConfig.ts"
import * as EncryptedRecords from "./EncryptedRecords.ts"

/** `enhanced`: encrypted before it is stored. */
export const Level = Schema.Literals(["standard", "enhanced"])
export type Level = typeof Level.Type

/** The bytes were not encrypted for this user: modified, damaged, truncated, or encrypted with an unknown secret. */
export class DecryptionFailed extends Schema.TaggedError<DecryptionFailed>()("DecryptionFailed", {
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
    /** The level of what is new of the user: as the user's settings say, or else the server's. */
    levelOf(uid: string): Effect.Effect<Level, DbError>
    /** The same of several users, whose number the caller bounds. */
    levelsOf(uids: ReadonlyArray<string>): Effect.Effect<ReadonlyMap<string, Level>, DbError>
    /** False without a master secret. */
    readonly isAvailable: boolean
    /** The bytes to store; different on each call. Fails only while the first use of the secret cannot be recorded. */
    encrypt(uid: string, audio: Uint8Array): Effect.Effect<Uint8Array, DbError>
    /** The audio of whole records. Each record is authenticated; a missing one is not detected, so compare the length. */
    decrypt(uid: string, encrypted: Uint8Array): Effect.Effect<Uint8Array, DecryptionFailed>
  }
>()("spillway/Encryption/Protection") {
  /** Does not record which secrets are used, and has no settings of users. */
  static readonly layer = Layer.effect(
    Protection,
    Effect.suspend(() => make({ isRecorded: () => true, record: () => Effect.void }, () => Effect.succeed(new Map())))
  )
}

/** Records which secrets are in use, by fingerprint. */
export interface SecretUsage {
  readonly isRecorded: (fingerprint: string) => boolean
  readonly record: (fingerprint: string) => Effect.Effect<void, DbError>
}

const leastEncrypted = EncryptedRecords.encryptedSize(1)
const tooShort = `it is shorter than any encrypted audio, ${leastEncrypted} bytes`

export const make = Effect.fnUntraced(function* (
  { isRecorded, record }: SecretUsage,
  ownLevels: (uids: ReadonlyArray<string>) => Effect.Effect<ReadonlyMap<string, Level>, DbError>
) {
  const config = yield* ProtectionConfig
  const known = secrets(config)
  const reason =
    known.length === 0
      ? "it is encrypted, and SPILLWAY_MASTER_SECRETS is not set"
      : "it is damaged, or encrypted with a secret that is not among SPILLWAY_MASTER_SECRETS"
  const keys = Cipher.makeKeyCache(known, config.keys)
  const fingerprints = known.map(Cipher.fingerprint)
  const [newest = ""] = fingerprints
  const recorded = new Set<string>()

  /** Records a secret on its first use for reading. That read waits for the record and ignores a failure. */
  const recordDecrypted = (fingerprint: string): Effect.Effect<void> =>
    Effect.suspend(() => {
      if (recorded.has(fingerprint)) return Effect.void
      recorded.add(fingerprint)
      return Effect.ignore(Effect.onError(record(fingerprint), () => Effect.sync(() => recorded.delete(fingerprint))))
    })

  return Protection.of({
    levelOf: (uid) => Effect.map(ownLevels([uid]), (own) => own.get(uid) ?? config.level),
    levelsOf: (uids) =>
      Effect.map(ownLevels(uids), (own) => new Map(uids.map((uid) => [uid, own.get(uid) ?? config.level]))),
    isAvailable: known.length > 0,
    encrypt: (uid, audio) => {
      const encrypted = Effect.suspend(() => {
        const [key] = keys.of(uid)
        return key === undefined
          ? Effect.die(new Error("no secret to encrypt with"))
          : Effect.succeed(EncryptedRecords.encrypt(key, audio))
      })
      return Effect.suspend(() => (isRecorded(newest) ? encrypted : Effect.andThen(record(newest), encrypted)))
    },
    decrypt: (uid, encrypted) =>
      Effect.suspend(() => {
        const candidates = keys.of(uid)
        return Option.match(EncryptedRecords.decrypt(candidates, encrypted), {
          onNone: () => new DecryptionFailed({ uid, reason: encrypted.length < leastEncrypted ? tooShort : reason }),
          onSome: ({ audio, key }): Effect.Effect<Uint8Array, DecryptionFailed> => {
            const fingerprint = key === undefined ? undefined : fingerprints[candidates.indexOf(key)]
            return fingerprint === undefined || isRecorded(fingerprint)
              ? Effect.succeed(audio)
              : Effect.as(recordDecrypted(fingerprint), audio)
          }
        })
      })
  })
})
