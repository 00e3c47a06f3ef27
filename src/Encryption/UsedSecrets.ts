/** The secrets that something is encrypted with, where all nodes that share the audio find them: one that is missing is said at the start. */
import { Effect, Layer } from "effect"
import { Db } from "../Db.ts"
import { Protection } from "../Encryption.ts"
import * as Protecting from "./Protection.ts"
import { ProtectionConfig, secrets } from "./ProtectionConfig.ts"
import * as Cipher from "./Cipher.ts"

const missing = (count: number) =>
  count === 1
    ? "1 master secret that audio is encrypted with is not among SPILLWAY_MASTER_SECRETS"
    : `${count} master secrets that audio is encrypted with are not among SPILLWAY_MASTER_SECRETS`

const remedy = "list the old ones there too, after the one for new audio; what they encrypted can't be heard until then"

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

  return yield* Protecting.make({
    isNoted: (fingerprint) => used.has(fingerprint),
    note: (fingerprint) =>
      Effect.andThen(
        db.writeIdempotent(
          "UsedSecrets.note",
          (sql) => sql`INSERT INTO secrets (fingerprint) VALUES (${fingerprint}) ON CONFLICT DO NOTHING`
        ),
        Effect.sync(() => used.add(fingerprint))
      )
  })
})

/** `Protection` that takes a note of each secret, durably, before anything is encrypted with it. */
export const layer = Layer.effect(Protection, make)
