/** Signatures of webhooks, as Standard Webhooks 1.0 defines them: `v1` (HMAC-SHA256) and `v1a` (Ed25519). */
import {
  createHmac,
  createPrivateKey,
  createSecretKey,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
  sign as signWith
} from "node:crypto"
import { Redacted } from "effect"

/** `v1`: the receiver has the secret too. `v1a`: the receiver has the public key. */
export type Scheme = "v1" | "v1a"

/** The specification allows 24 to 64 bytes. */
const secretBytes = 32

const prefixes = { v1: "whsec_", v1a: "whsk_" } as const

/** PKCS #8 of an Ed25519 key up to its 32 bytes (RFC 8410), and SubjectPublicKeyInfo of the public key. */
const privateHead = Buffer.from("302e020100300506032b657004220420", "hex")
const publicHead = Buffer.from("302a300506032b6570032100", "hex")

const keyBytes = (secret: string) => Buffer.from(secret.slice(secret.indexOf("_") + 1), "base64")

/** `whsec_` and 32 bytes in base64; for `v1a` `whsk_` and 64, the private key followed by the public one. */
export function makeSecret(scheme: Scheme): Redacted.Redacted {
  if (scheme === "v1") return Redacted.make(prefixes.v1 + randomBytes(secretBytes).toString("base64"))
  const { privateKey, publicKey } = generateKeyPairSync("ed25519")
  const seed = privateKey.export({ type: "pkcs8", format: "der" }).subarray(privateHead.length)
  const point = publicKey.export({ type: "spki", format: "der" }).subarray(publicHead.length)
  return Redacted.make(prefixes.v1a + Buffer.concat([seed, point]).toString("base64"))
}

export function schemeOf(secret: Redacted.Redacted): Scheme {
  return Redacted.value(secret).startsWith(prefixes.v1a) ? "v1a" : "v1"
}

/** What a receiver needs to verify `v1a`: `whpk_` and the public key in base64. Undefined for `v1`. */
export function publicKeyOf(secret: Redacted.Redacted): string | undefined {
  if (schemeOf(secret) === "v1") return undefined
  return `whpk_${keyBytes(Redacted.value(secret)).subarray(32).toString("base64")}`
}

/** As long as the secrets exist: making a key takes longer than signing. */
const keys = new WeakMap<Redacted.Redacted, KeyObject>()

const keyOf = (secret: Redacted.Redacted, scheme: Scheme): KeyObject => {
  const known = keys.get(secret)
  if (known !== undefined) return known
  const bytes = keyBytes(Redacted.value(secret))
  const der = () => Buffer.concat([privateHead, bytes.subarray(0, 32)])
  const key = scheme === "v1" ? createSecretKey(bytes) : createPrivateKey({ key: der(), format: "der", type: "pkcs8" })
  keys.set(secret, key)
  return key
}

const signOnce = (secret: Redacted.Redacted, content: Buffer): string => {
  const scheme = schemeOf(secret)
  const key = keyOf(secret, scheme)
  return scheme === "v1"
    ? `v1,${createHmac("sha256", key).update(content).digest("base64")}`
    : `v1a,${signWith(null, content, key).toString("base64")}`
}

export interface Message {
  readonly id: string
  /** Of this attempt, in seconds since the Unix epoch. */
  readonly timestamp: number
  readonly body: Uint8Array
}

/** The headers of a signed request. Each live secret signs, so that a receiver can change to the new one at any time. */
export function headersOf(
  { body, id, timestamp }: Message,
  secrets: ReadonlyArray<Redacted.Redacted>
): Readonly<Record<string, string>> {
  const content = Buffer.concat([Buffer.from(`${id}.${timestamp}.`), body])
  return {
    "webhook-id": id,
    "webhook-timestamp": String(timestamp),
    "webhook-signature": secrets.map((secret) => signOnce(secret, content)).join(" ")
  }
}
