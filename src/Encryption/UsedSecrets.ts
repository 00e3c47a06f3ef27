/** The secrets in use, recorded in the database that all nodes share. Startup warns about a missing one. */
import { Effect, Layer, Schema } from "effect"
import { Db } from "../Db.ts"
import { Level, Protection } from "../Encryption.ts"
import * as EncryptionProtection from "./Protection.ts"
import { ProtectionConfig, secrets } from "./ProtectionConfig.ts"
import * as Cipher from "./Cipher.ts"

const missing = (count: number) =>
  count === 1
    ? "1 master secret that audio is encrypted with is not among SPILLWAY_MASTER_SECRETS"
    : `${count} master secrets that audio is encrypted with are not among SPILLWAY_MASTER_SECRETS`

const remedy =
  "append the old ones to the setting, after the one for new audio; audio that they encrypted is unreadable until then"

const decodeLevels = Schema.decodeUnknownEffect(Schema.Array(Schema.Struct({ uid: Schema.String, level: Level })))

const make = Effect.gen(function* () {
  const db = yield* Db
  const config = yield* ProtectionConfig
  const rows = yield* db.read(
    "UsedSecrets.all",
    (sql) => sql<{ readonly fingerprint: string }>`SELECT fingerprint FROM secrets`
  )
  const used = new Set(rows.map(({ fingerprint }) => fingerprint))
  const known = new Set(secrets(config).map(Cipher.fingerprint))
  const gone = [...used].filter((fingerprint) => !known.has(fingerprint)).length
  if (gone > 0) yield* Effect.logWarning(`${missing(gone)}: ${remedy}`)

  const record = (fingerprint: string) =>
    Effect.andThen(
      db.writeIdempotent(
        "UsedSecrets.record",
        (sql) => sql`INSERT INTO secrets (fingerprint) VALUES (${fingerprint}) ON CONFLICT DO NOTHING`
      ),
      Effect.sync(() => used.add(fingerprint))
    )
  const ownLevels = (uids: ReadonlyArray<string>) =>
    db.read("UsedSecrets.ownLevels", (sql) =>
      sql`
        SELECT uid, protection AS level FROM user_settings
        WHERE uid = ANY(${uids}::text[]) AND protection IS NOT NULL`.pipe(
        Effect.flatMap(decodeLevels),
        Effect.map((own) => new Map(own.map(({ level, uid }) => [uid, level]))),
        Effect.catchTag("SchemaError", Effect.die)
      )
    )
  const usage = { isRecorded: (fingerprint: string) => used.has(fingerprint), record }
  return yield* EncryptionProtection.make(usage, ownLevels)
})

/** `Protection` of the levels that users have set. It takes a record of each secret, durably, before anything is encrypted with it. */
export const layer = Layer.effect(Protection, make)
