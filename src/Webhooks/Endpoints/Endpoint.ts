/** Endpoints: what their owners may read of them, and the credentials that requests are sent with. */
import { Effect, Redacted, Schema } from "effect"
import { BoundedMap } from "../../BoundedMap.ts"
import type { DbError } from "../../Db.ts"
import { type DecryptionFailed, Protection } from "../../Encryption.ts"

/** `gone`: the endpoint has answered 410. `failing`: its deliveries have failed for too long; it is probed once a day. */
export const DisabledReason = Schema.Literals(["gone", "failing"])
export type DisabledReason = typeof DisabledReason.Type

/** The types of an endpoint that receives all events. */
export const allTypes = ["*"]

export interface Endpoint {
  readonly id: string
  /** None: it receives the events of all users. */
  readonly uid: string | undefined
  readonly url: string
  readonly types: ReadonlyArray<string>
  readonly description: string
  /** As its owner has set it. */
  readonly isEnabled: boolean
  /** When and why deliveries ended although it is enabled. */
  readonly disabled: { readonly at: Date; readonly reason: DisabledReason } | undefined
  /** Length of the pieces in which it receives live audio; none without live audio. */
  readonly audioSeconds: number | undefined
  /** Most requests a second. */
  readonly rate: number | undefined
  /** Names of its own headers. */
  readonly headers: ReadonlyArray<string>
  readonly createdAt: Date
}

const StoredCredentials = Schema.fromJsonString(
  Schema.Struct({
    /** The newest first, at most two. `until`: milliseconds since the Unix epoch. */
    secrets: Schema.Array(Schema.Struct({ secret: Schema.String, until: Schema.optionalKey(Schema.Finite) })),
    headers: Schema.Record(Schema.String, Schema.String)
  })
)

export interface Credentials {
  readonly secrets: ReadonlyArray<{ readonly secret: Redacted.Redacted; readonly until?: number }>
  readonly headers: Readonly<Record<string, string>>
}

/** One of them is null. */
export interface CredentialColumns {
  readonly secrets: string | null
  readonly sealed: Uint8Array | null
}

const encode = Schema.encodeEffect(StoredCredentials)
const decode = Schema.decodeEffect(StoredCredentials)

/** Endpoints of all users are encrypted as if they belonged to this one. */
const globalOwner = "admin"

/** Decoded credentials in memory. One more forgets the ones of the endpoint that was used longest ago. */
const maxRead = 1_000

/** Encrypts the credentials if there is a master secret. */
export const makeCredentials = Effect.gen(function* () {
  const protection = yield* Protection
  /** By the contents of the row. */
  const read = new BoundedMap<Credentials>(maxRead)
  return {
    toRow: Effect.fnUntraced(function* (
      uid: string | undefined,
      { headers, secrets }: Credentials
    ): Effect.fn.Return<CredentialColumns, DbError> {
      const plain = secrets.map(({ secret, ...rest }) => ({ ...rest, secret: Redacted.value(secret) }))
      const text = yield* Effect.orDie(encode({ headers, secrets: plain }))
      if (!protection.isAvailable) return { secrets: text, sealed: null }
      return { secrets: null, sealed: yield* protection.encrypt(uid ?? globalOwner, Buffer.from(text)) }
    }),
    fromRow: Effect.fnUntraced(function* (
      uid: string | undefined,
      { sealed, secrets }: CredentialColumns
    ): Effect.fn.Return<Credentials, DecryptionFailed> {
      const key = sealed === null ? (secrets ?? "") : `${uid ?? ""}\0${Buffer.from(sealed).toString("latin1")}`
      const known = read.get(key)
      if (known !== undefined) {
        read.set(key, known)
        return known
      }
      const text = sealed === null ? key : Buffer.from(yield* protection.decrypt(uid ?? globalOwner, sealed)).toString()
      const decoded = yield* Effect.orDie(decode(text))
      const made = decoded.secrets.map(({ secret, ...rest }) => ({ ...rest, secret: Redacted.make(secret) }))
      const credentials = { headers: decoded.headers, secrets: made }
      read.set(key, credentials)
      return credentials
    })
  }
})

/** Secrets that sign at this time. */
export function liveSecrets({ secrets }: Credentials, now: number): ReadonlyArray<Redacted.Redacted> {
  return secrets.filter(({ until = Infinity }) => until > now).map(({ secret }) => secret)
}
