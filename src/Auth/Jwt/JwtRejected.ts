/** Why a JWT is not accepted. */
import { Schema } from "effect"

export const Reason = Schema.Literals([
  "malformed",
  "algorithm",
  "unknown-key",
  "signature",
  "expired",
  "not-yet-valid",
  "issuer",
  "audience",
  "claims",
  "user"
])

const sentences: Readonly<Record<typeof Reason.Type, string>> = {
  malformed: "The token is not a valid JWT.",
  algorithm: "The token is not signed with RS256 or ES256.",
  "unknown-key": "The token is signed with a key that the issuer does not publish.",
  signature: "The signature of the token is not valid.",
  expired: "The token has expired.",
  "not-yet-valid": "The token is not valid yet.",
  issuer: "The token is from another issuer.",
  audience: "The token is for another audience.",
  claims: "The token lacks a claim, or a claim is not valid.",
  user: "The token has no valid user id."
}

export class JwtRejected extends Schema.TaggedError<JwtRejected>()("JwtRejected", { reason: Reason }) {
  override get message() {
    return sentences[this.reason]
  }
}
