/** Tokens that a service account signs for itself (RFC 7523), as Google's APIs take them. */
import { createVerify } from "node:crypto"
import { ApiError } from "./ApiError.ts"
import type { Account } from "./Signature.ts"

const unauthorized = (why: string) => new ApiError(401, `Invalid Credentials: ${why}`)

const decode = (part: string | undefined): Record<string, unknown> => {
  try {
    const value: unknown = JSON.parse(Buffer.from(part ?? "", "base64url").toString())
    return typeof value === "object" && value !== null ? { ...value } : {}
  } catch {
    return {}
  }
}

/** Throws 401 unless the header has a valid token of the account for the store. */
export const verify = (header: string | undefined, account: Account, now: number) => {
  const [head, claims, signature, ...more] = (/^Bearer (\S+)$/.exec(header ?? "")?.[1] ?? "").split(".")
  if (head === undefined || claims === undefined || signature === undefined || more.length > 0) {
    throw unauthorized("no token")
  }
  const { exp, iat, iss, scope } = decode(claims)
  const isSound = createVerify("RSA-SHA256")
    .update(`${head}.${claims}`)
    .verify(account.publicKey, Buffer.from(signature, "base64url"))
  if (decode(head)["alg"] !== "RS256" || !isSound) throw unauthorized("the signature is wrong")
  if (iss !== account.clientEmail) throw unauthorized("unknown account")
  if (typeof exp !== "number" || typeof iat !== "number" || exp - iat > 3_600 || exp * 1_000 < now) {
    throw unauthorized("the token has expired")
  }
  if (typeof scope !== "string" || !/devstorage|cloud-platform/.test(scope)) {
    throw new ApiError(403, "Request had insufficient authentication scopes.")
  }
}
