/** Verifies JWTs: signed by the issuer with RS256 or ES256, for this audience, in time, with the id of a user. */
import { hash } from "node:crypto"
import { Clock, Effect, Metric, Option, Redacted, Schema } from "effect"
import { errors, type JWTPayload, jwtVerify } from "jose"
import { BoundedMap } from "../../BoundedMap.ts"
import { Id } from "../../Id.ts"
import { IssuerKeys, type KeySet } from "./IssuerKeys.ts"
import { JwtConfig } from "./JwtConfig.ts"
import { JwtRejected, type Reason } from "./JwtRejected.ts"

/** Public-key algorithms only: a key of the set can then never be taken for a shared secret. */
const algorithms = ["RS256", "ES256"]

/** Seconds by which the clocks of the issuer and of this node are allowed to differ. */
const clockSkew = 60

/** How long a verified token is not verified again. Never beyond its `exp`. */
const cacheMillis = 60_000

/** Three parts in base64url. */
const form = /^[\w-]+\.[\w-]+\.[\w-]*$/

const reject = (reason: typeof Reason.Type) => new JwtRejected({ reason })

const ofClaims: Readonly<Record<string, typeof Reason.Type>> = {
  nbf: "not-yet-valid",
  iss: "issuer",
  aud: "audience"
}

const reasonOf = (error: unknown): typeof Reason.Type => {
  if (error instanceof errors.JWTExpired) return "expired"
  if (error instanceof errors.JWTClaimValidationFailed)
    return error.reason === "check_failed" ? (ofClaims[error.claim] ?? "claims") : "claims"
  if (error instanceof errors.JOSEAlgNotAllowed) return "algorithm"
  if (error instanceof errors.JWKSNoMatchingKey) return "unknown-key"
  if (error instanceof errors.JWSSignatureVerificationFailed) return "signature"
  const malformed = [errors.JWSInvalid, errors.JWTInvalid, errors.JOSENotSupported]
  if (malformed.some((type) => error instanceof type)) return "malformed"
  // Several keys fit a token that names none, or the key can't be used, for example an RSA key of less than 2048 bits.
  return "unknown-key"
}

const rejections = Metric.counter("spillway_jwt_rejections_total", {
  description: "JWTs that were not accepted",
  incremental: true
})

const decodeId = Schema.decodeUnknownOption(Id)

interface Verified {
  readonly uid: string
  /** Unix milliseconds. */
  readonly until: number
}

export const make = Effect.gen(function* () {
  const config = yield* JwtConfig
  const issuer = yield* IssuerKeys
  /** By the SHA-256 of the token. Only valid tokens are cached. */
  const cache = new BoundedMap<Verified>(config.cacheEntries)
  const expected = {
    algorithms,
    clockTolerance: clockSkew,
    requiredClaims: ["exp"],
    ...(Option.isSome(config.issuer) ? { issuer: config.issuer.value } : {}),
    ...(Option.isSome(config.audience) ? { audience: config.audience.value } : {})
  }

  const check = (token: string, keys: KeySet, now: number) =>
    Effect.tryPromise({
      try: () => jwtVerify(token, keys, { ...expected, currentDate: new Date(now) }),
      catch: (error) => reject(reasonOf(error))
    })

  const checkWithCurrent = (token: string, now: number) => {
    const keys = issuer.current()
    return keys === undefined ? reject("unknown-key") : check(token, keys, now)
  }

  const verified = Effect.fnUntraced(function* (token: string, now: number) {
    const { payload } = yield* checkWithCurrent(token, now).pipe(
      Effect.catchTag("JwtRejected", (rejected) =>
        rejected.reason === "unknown-key"
          ? Effect.flatMap(issuer.refreshed, (keys) => check(token, keys, now))
          : rejected
      )
    )
    return yield* userOf(payload)
  })

  const userOf = Effect.fnUntraced(function* (payload: JWTPayload) {
    const uid = Object.hasOwn(payload, config.uidClaim) ? decodeId(payload[config.uidClaim]) : Option.none()
    if (Option.isNone(uid)) return yield* reject("user")
    return { uid: uid.value, expiresAt: (payload.exp ?? 0) * 1_000 }
  })

  const verify = Effect.fn("Jwts.verify")(function* (secret: Redacted.Redacted) {
    const token = Redacted.value(secret)
    const id = hash("sha256", token, "base64")
    const now = yield* Clock.currentTimeMillis
    const known = cache.get(id)
    if (known !== undefined && now < known.until) return known.uid
    const { expiresAt, uid } = yield* verified(token, now).pipe(
      Effect.tapErrorTag("JwtRejected", ({ reason }) => Metric.update(Metric.withAttributes(rejections, { reason }), 1))
    )
    cache.set(id, { uid, until: Math.min(now + cacheMillis, expiresAt) })
    return uid
  })

  return { isJwt: (token: string) => form.test(token), verify }
})

export const layerKeys = IssuerKeys.layerOf
