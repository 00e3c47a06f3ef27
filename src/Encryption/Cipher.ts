/** AES-256-GCM and HKDF-SHA256 of node:crypto. */
import { Result } from "effect"
import * as Crypto from "node:crypto"

export const nonceSize = 12
export const tagSize = 16

/** Master secrets are at least this long. */
export const secretSize = 32

const options = { authTagLength: tagSize }

/** What one user's audio is sealed with. */
export interface Key {
  readonly key: Crypto.KeyObject
}

/** HKDF-SHA256 (RFC 5869) of a master secret, with the user's id as salt. */
export function deriveKey(secret: Uint8Array, uid: string): Key {
  return {
    key: Crypto.createSecretKey(new Uint8Array(Crypto.hkdfSync("sha256", secret, uid, "user-data-encryption", 32)))
  }
}

/** 16 hexadecimal digits that tell one secret from another, and nothing of it or of the users' keys: HKDF with a purpose of its own. */
export function fingerprint(secret: Uint8Array): string {
  return Buffer.from(Crypto.hkdfSync("sha256", secret, "", "spillway-secret-fingerprint", 8)).toString("hex")
}

/** Writes a random nonce, the ciphertext and the tag; answers how many bytes that is. */
export function seal({ key }: Key, plain: Uint8Array, into: Uint8Array): number {
  const nonce = Crypto.randomFillSync(into.subarray(0, nonceSize))
  const cipher = Crypto.createCipheriv("aes-256-gcm", key, nonce, options)
  into.set(cipher.update(plain), nonceSize)
  cipher.final()
  into.set(cipher.getAuthTag(), nonceSize + plain.length)
  return nonceSize + plain.length + tagSize
}

/** Writes what was sealed, and answers whether it is that. If not, what was written is not to be used. */
export function open({ key }: Key, sealed: Uint8Array, into: Uint8Array): boolean {
  const decipher = Crypto.createDecipheriv("aes-256-gcm", key, sealed.subarray(0, nonceSize), options)
  decipher.setAuthTag(sealed.subarray(-tagSize))
  into.set(decipher.update(sealed.subarray(nonceSize, -tagSize)))
  // The tag is checked here, and a wrong one is thrown.
  return Result.isSuccess(Result.try(() => decipher.final()))
}

/** What is wrong unless the text is base64 of at least 32 bytes. */
export function parseSecret(text: string): Result.Result<Uint8Array, string> {
  const bytes = Buffer.from(text, "base64")
  if (text === "") return Result.fail("is empty")
  if (bytes.toString("base64").replaceAll("=", "") !== text.replaceAll("=", "")) return Result.fail("is not base64")
  return bytes.length < secretSize ? Result.fail(`has ${bytes.length} bytes`) : Result.succeed(bytes)
}
