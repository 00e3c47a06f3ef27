/** Which JWTs are accepted. */
import { createHmac } from "node:crypto"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Metric, Redacted } from "effect"
import { TestClock } from "effect/testing"
import { JwtConfig } from "../../../src/Auth/Jwt/JwtConfig.ts"
import { Jwts } from "../../../src/Auth/Jwt/Jwts.ts"
import * as Settings from "../../support/Settings.ts"
import {
  audience,
  claimsAt,
  ecKey,
  encodeJwt,
  fakeIssuer,
  issuer,
  jwkOf,
  rsaKey,
  signatureOf,
  type SigningKey,
  token as tokenOf
} from "./support/FakeIssuer.ts"

const rsa = rsaKey("rsa-1")
const ec = ecKey("ec-1")

/** A Unix second at which the test clock starts. */
const start = 1_800_000_000

const token = (key: SigningKey, claims: object = {}, header: object = {}) =>
  tokenOf(key, claims, { now: start, header })

/** Runs against an issuer that publishes both keys. */
const withIssuer = <A, E>(
  body: (fake: Awaited<ReturnType<typeof fakeIssuer>>) => Effect.Effect<A, E, Jwts>,
  env: Record<string, string> = {},
  keys: ReadonlyArray<SigningKey> = [rsa, ec]
) =>
  Effect.gen(function* () {
    yield* TestClock.setTime(start * 1_000)
    const fake = yield* Effect.acquireRelease(
      Effect.promise(() => fakeIssuer(...keys)),
      ({ close }) => Effect.promise(close)
    )
    const settings = Settings.environment({
      SPILLWAY_JWKS_URL: fake.url,
      SPILLWAY_JWT_ISSUER: issuer,
      SPILLWAY_JWT_AUDIENCE: audience,
      ...env
    })
    return yield* Effect.provide(body(fake), Jwts.layer.pipe(Layer.provide(JwtConfig.layer), Layer.provide(settings)))
  }).pipe(Effect.scoped)

const verify = (text: string) => Effect.flatMap(Jwts, (jwts) => jwts.verify(Redacted.make(text)))

/** The user, or why the token is rejected. */
const outcome = (text: string) =>
  verify(text).pipe(
    Effect.catchTags({
      JwtRejected: ({ reason }) => Effect.succeed(`rejected: ${reason}`),
      IssuerUnavailable: () => Effect.succeed("unavailable")
    })
  )

describe("a JWT", () => {
  it.effect("is accepted when it is signed with RS256 or ES256, with any typ or none", () =>
    withIssuer(() =>
      Effect.gen(function* () {
        for (const key of [rsa, ec]) {
          for (const header of [{}, { typ: undefined }, { typ: "at+jwt" }])
            assert.strictEqual(yield* outcome(token(key, {}, header)), "ada", `${key.alg} ${JSON.stringify(header)}`)
        }
      })
    )
  )

  it.effect("is rejected with every other algorithm and every key that is not the issuer's", () =>
    withIssuer(
      () =>
        Effect.gen(function* () {
          const claims = claimsAt(start)
          const stranger = rsaKey("rsa-1")
          const weak = rsaKey("weak", 1024)
          const hmac = (secret: string | Buffer) => (input: string) =>
            createHmac("sha256", secret).update(input).digest()
          const pem = rsa.publicKey.export({ format: "pem", type: "spki" })
          const der = rsa.publicKey.export({ format: "der", type: "spki" })
          const hs256 = { alg: "HS256", kid: "rsa-1" }
          const cases: Record<string, readonly [string, string]> = {
            none: [encodeJwt({ alg: "none" }, claims, () => ""), "rejected: algorithm"],
            "none with a key": [encodeJwt({ alg: "none", kid: "rsa-1" }, claims, () => ""), "rejected: algorithm"],
            None: [encodeJwt({ alg: "None" }, claims, signatureOf(rsa)), "rejected: algorithm"],
            "HS256 with the public key's PEM": [encodeJwt(hs256, claims, hmac(pem)), "rejected: algorithm"],
            "HS256 with the PEM, trimmed": [
              encodeJwt(hs256, claims, hmac(pem.toString().trim())),
              "rejected: algorithm"
            ],
            "HS256 with the public key's DER": [encodeJwt(hs256, claims, hmac(der)), "rejected: algorithm"],
            "HS256 with the modulus": [encodeJwt(hs256, claims, hmac(jwkOf(rsa).n ?? "")), "rejected: algorithm"],
            RS512: [token(rsa, {}, { alg: "RS512" }), "rejected: algorithm"],
            "an algorithm that is no text": [token(rsa, {}, { alg: ["RS256"] }), "rejected: malformed"],
            "another key under the same id": [token(stranger), "rejected: signature"],
            "the key in its header (jwk)": [token(stranger, {}, { jwk: jwkOf(stranger) }), "rejected: signature"],
            "a key set in its header (jku)": [
              token(stranger, {}, { kid: "x", jku: "http://127.0.0.1:1/jwks.json" }),
              "rejected: unknown-key"
            ],
            "a certificate in its header (x5u)": [
              token(stranger, {}, { kid: "x", x5u: "http://127.0.0.1:1/" }),
              "rejected: unknown-key"
            ],
            "RS256 with the EC key's id": [token(rsa, {}, { kid: "ec-1" }), "rejected: unknown-key"],
            "ES256 with the RSA key's id": [token(ec, {}, { kid: "rsa-1" }), "rejected: unknown-key"],
            "an unknown critical header": [token(rsa, {}, { crit: ["x"], x: 1 }), "rejected: malformed"],
            "a payload that is not encoded (b64)": [
              token(rsa, {}, { b64: false, crit: ["b64"] }),
              "rejected: malformed"
            ],
            "a key of 1024 bits": [token(weak), "rejected: unknown-key"],
            "a DER signature of ES256": [
              encodeJwt({ alg: "ES256", kid: "ec-1" }, claims, () => Buffer.alloc(70, 1)),
              "rejected: signature"
            ],
            "no signature": [token(rsa).replace(/\.[^.]*$/, "."), "rejected: signature"],
            "a changed payload": [
              token(rsa).replace(
                /\.[^.]*\./,
                `.${Buffer.from(JSON.stringify({ ...claims, sub: "eve" })).toString("base64url")}.`
              ),
              "rejected: signature"
            ],
            "a payload that is no object": [
              encodeJwt({ alg: "RS256", kid: "rsa-1" }, [claims], signatureOf(rsa)),
              "rejected: malformed"
            ],
            "a header that is no JSON": ["AAAA.AAAA.AAAA", "rejected: malformed"]
          }
          for (const [name, [text, expected]] of Object.entries(cases))
            assert.strictEqual(yield* outcome(text), expected, name)
          assert.strictEqual(yield* outcome(token(rsa)), "ada")
        }),
      {},
      [rsa, ec, rsaKey("weak", 1024)]
    )
  )

  it.effect("is rejected without an expiry, out of its time by more than 60 seconds, and for others", () =>
    withIssuer(() =>
      Effect.gen(function* () {
        const cases: ReadonlyArray<readonly [object, string]> = [
          [{ exp: undefined }, "rejected: claims"],
          [{ exp: "tomorrow" }, "rejected: claims"],
          [{ exp: start - 59 }, "ada"],
          [{ exp: start - 60 }, "rejected: expired"],
          [{ nbf: start + 60 }, "ada"],
          [{ nbf: start + 61 }, "rejected: not-yet-valid"],
          [{ nbf: "now" }, "rejected: claims"],
          [{ iss: undefined }, "rejected: claims"],
          [{ iss: `${issuer}/` }, "rejected: issuer"],
          [{ iss: [issuer] }, "rejected: issuer"],
          [{ aud: undefined }, "rejected: claims"],
          [{ aud: "another" }, "rejected: audience"],
          [{ aud: ["another", audience] }, "ada"],
          [{ aud: [] }, "rejected: audience"]
        ]
        for (const [claims, expected] of cases)
          assert.strictEqual(yield* outcome(token(rsa, claims)), expected, JSON.stringify(claims))
      })
    )
  )

  it.effect("names its user in the configured claim, which has to be an id", () =>
    withIssuer(
      () =>
        Effect.gen(function* () {
          const cases: ReadonlyArray<readonly [object, string]> = [
            [{ user_id: "grace" }, "grace"],
            [{}, "rejected: user"],
            [{ user_id: "../etc" }, "rejected: user"],
            [{ user_id: ".." }, "rejected: user"],
            [{ user_id: "" }, "rejected: user"],
            [{ user_id: 7 }, "rejected: user"],
            [{ user_id: "a".repeat(129) }, "rejected: user"]
          ]
          for (const [claims, expected] of cases)
            assert.strictEqual(yield* outcome(token(rsa, claims)), expected, JSON.stringify(claims))
        }),
      { SPILLWAY_JWT_UID_CLAIM: "user_id" }
    )
  )

  it.effect("is verified once a minute, and again after its expiry or its eviction", () =>
    withIssuer(
      (fake) =>
        Effect.gen(function* () {
          yield* verify(token(rsa, { sub: "first" }))
          yield* TestClock.adjust("30 seconds")
          const [evicted, short, long] = [token(ec), token(rsa, { exp: start + 70 }), token(rsa)]
          for (const text of [evicted, short, long]) yield* verify(text)
          // From now on, only cached tokens are valid.
          fake.keys = [rsaKey("other")]
          yield* TestClock.adjust("31 seconds")
          assert.strictEqual(yield* outcome(token(rsaKey("other"))), "rejected: signature")
          const outcomes = () => Effect.forEach([evicted, short, long], outcome)
          assert.deepStrictEqual(yield* outcomes(), ["rejected: unknown-key", "ada", "ada"])
          yield* TestClock.adjust("10 seconds")
          assert.deepStrictEqual(yield* outcomes(), ["rejected: unknown-key", "rejected: unknown-key", "ada"])
          yield* TestClock.adjust("20 seconds")
          assert.strictEqual(yield* outcome(long), "rejected: unknown-key")
        }),
      { JWT_CACHE_ENTRIES: "2" }
    )
  )

  it.effect("is counted by reason when it is rejected", () =>
    withIssuer(() =>
      Effect.gen(function* () {
        const counts = Effect.map(Metric.snapshot, (all) =>
          ["expired", "audience", "signature"].map((reason) => {
            const found = all.find(
              ({ attributes, id }) => id === "spillway_jwt_rejections_total" && attributes?.["reason"] === reason
            )
            return found?.type === "Counter" ? Number(found.state.count) : 0
          })
        )
        const before = yield* counts
        yield* outcome(token(rsa, { exp: start - 100 }))
        for (const sub of ["ada", "eve"]) yield* outcome(token(rsa, { sub, aud: "another" }))
        const after = yield* counts
        assert.deepStrictEqual(
          after.map((count, index) => count - (before[index] ?? 0)),
          [1, 2, 0]
        )
      })
    )
  )
})

it.effect("takes no token for a JWT when no issuer is configured", () =>
  Effect.gen(function* () {
    assert.isFalse((yield* Jwts).isJwt(token(rsa)))
    assert.strictEqual(yield* outcome(token(rsa)), "rejected: malformed")
  }).pipe(Effect.provide(Jwts.layer.pipe(Layer.provide(JwtConfig.layer), Layer.provide(Settings.environment({})))))
)
