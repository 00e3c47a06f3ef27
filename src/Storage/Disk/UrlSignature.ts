/** HMAC-SHA256 over the method, key and expiry of a URL. */
import { createHmac, timingSafeEqual } from "node:crypto"

export interface Claim {
  readonly method: string
  readonly key: string
  /** Unix seconds, as written in the URL. */
  readonly expires: string
}

const mac = (secret: Uint8Array, { expires, key, method }: Claim): Buffer =>
  createHmac("sha256", secret).update(["spillway-url-1", method, key, expires].join("\n")).digest()

export function sign(secret: Uint8Array, claim: Claim): string {
  return mac(secret, claim).toString("base64url")
}

/** Takes constant time for every signature of the right length. */
export function isSigned(secret: Uint8Array, claim: Claim, signature: string): boolean {
  const given = Buffer.from(signature, "base64url")
  const right = mac(secret, claim)
  return given.length === right.length && timingSafeEqual(given, right) && given.toString("base64url") === signature
}
