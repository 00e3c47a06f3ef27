/** JWTs as keys: verified if an issuer is configured. */
import { Context, Effect, Layer, Option, type Redacted } from "effect"
import type { IssuerUnavailable } from "./IssuerKeys.ts"
import { JwtConfig } from "./JwtConfig.ts"
import { JwtRejected } from "./JwtRejected.ts"

export class Jwts extends Context.Service<
  Jwts,
  {
    /** Whether this is to be verified as a JWT: it has the form of one, and an issuer is configured. */
    isJwt(token: string): boolean
    /** The id of the token's user. */
    verify(token: Redacted.Redacted): Effect.Effect<string, JwtRejected | IssuerUnavailable>
  }
>()("spillway/Auth/Jwt/Jwts") {
  static readonly layer = Layer.unwrap(
    Effect.map(JwtConfig, ({ jwksUrl }) => Option.match(jwksUrl, { onNone: () => none, onSome: verifier }))
  )
}

const none = Layer.succeed(Jwts, {
  isJwt: () => false,
  verify: () => new JwtRejected({ reason: "malformed" })
})

/** Loaded on demand, with its library. */
const verifier = (url: string) =>
  Layer.unwrap(
    Effect.map(
      Effect.promise(() => import("./JwtVerifier.ts")),
      ({ layerKeys, make }) => Layer.effect(Jwts, make).pipe(Layer.provide(layerKeys(url)))
    )
  )
