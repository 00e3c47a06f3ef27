/** AES-256-GCM and HKDF-SHA256 of node:crypto. */
import { Result } from "effect"
import * as Crypto from "node:crypto"
import { BoundedMap } from "../BoundedMap.ts"

export const nonceSize = 12
export const tagSize = 16

/** Smallest master secret, bytes. */
export const secretSize = 32

const options = { authTagLength: tagSize }

export interface Key {
  readonly key: Crypto.KeyObject
}

/** HKDF-SHA256 (RFC 5869) of a master secret, with the user's id as salt. */
export function deriveKey(secret: Uint8Array, uid: string): Key {
  return {
    key: Crypto.createSecretKey(new Uint8Array(Crypto.hkdfSync("sha256", secret, uid, "user-data-encryption", 32)))
  }
}

/** 16 hexadecimal digits that identify a secret and reveal nothing of it: HKDF with a separate purpose. */
export function fingerprint(secret: Uint8Array): string {
  return Buffer.from(Crypto.hkdfSync("sha256", secret, "", "spillway-secret-fingerprint", 8)).toString("hex")
}

/** Writes a random nonce, the ciphertext and the tag into `into`. Returns the number of bytes. */
export function encrypt({ key }: Key, plain: Uint8Array, into: Uint8Array): number {
  const nonce = Crypto.randomFillSync(into.subarray(0, nonceSize))
  const cipher = Crypto.createCipheriv("aes-256-gcm", key, nonce, options)
  into.set(cipher.update(plain), nonceSize)
  cipher.final()
  into.set(cipher.getAuthTag(), nonceSize + plain.length)
  return nonceSize + plain.length + tagSize
}

/** Writes the plaintext into `into`. Returns false when authentication fails; `into` is then invalid. */
export function decrypt({ key }: Key, encrypted: Uint8Array, into: Uint8Array): boolean {
  const decipher = Crypto.createDecipheriv("aes-256-gcm", key, encrypted.subarray(0, nonceSize), options)
  decipher.setAuthTag(encrypted.subarray(-tagSize))
  into.set(decipher.update(encrypted.subarray(nonceSize, -tagSize)))
  // Throws when the tag is wrong.
  return Result.isSuccess(Result.try(() => decipher.final()))
}

/** Decodes base64 of at least 32 bytes. A failure describes the problem without the text. */
export function parseSecret(text: string): Result.Result<Uint8Array, string> {
  const bytes = Buffer.from(text, "base64")
  if (text === "") return Result.fail("is empty")
  if (bytes.toString("base64").replaceAll("=", "") !== text.replaceAll("=", "")) return Result.fail("is not base64")
  return bytes.length < secretSize ? Result.fail(`has ${bytes.length} bytes`) : Result.succeed(bytes)
}

/** Caches keys of the last `bound` users, one per secret in order: deriving one takes longer than decrypting a short record. */
export function makeKeyCache(secrets: ReadonlyArray<Uint8Array>, bound: number) {
  const known = new BoundedMap<ReadonlyArray<Key>>(bound)
  return {
    of: (uid: string): ReadonlyArray<Key> => {
      const keys = known.get(uid) ?? secrets.map((secret) => deriveKey(secret, uid))
      known.set(uid, keys)
      return keys
    },
    size: () => known.size
  }
}
