/** Which settings of the issuer are mistakes. */
import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { JwtConfig } from "../../../src/Auth/Jwt/JwtConfig.ts"
import * as Settings from "../../../src/Settings.ts"
import { environment } from "../../support/Settings.ts"

const mistakes = (env: Record<string, string>) =>
  Settings.problemsOf([JwtConfig]).pipe(
    Effect.map((problems) => problems.map(({ env, found }) => `${env}: ${found}`)),
    Effect.provide(environment(env))
  )

const whole = { SPILLWAY_JWT_ISSUER: "i", SPILLWAY_JWT_AUDIENCE: "a" }

it.effect("accepts an https address, and http on a loopback address", () =>
  Effect.gen(function* () {
    for (const url of [
      "https://www.googleapis.com/service_accounts/v1/jwk/securetoken@system.gserviceaccount.com",
      "https://id.example.org:8443/keys?tenant=1",
      "http://localhost:1234/keys",
      "http://127.0.0.1/keys",
      "http://127.8.9.10/keys",
      "http://[::1]:80/keys"
    ])
      assert.deepStrictEqual(yield* mistakes({ ...whole, SPILLWAY_JWKS_URL: url }), [], url)
    for (const url of [
      "http://id.example.org/keys",
      "http://127.0.0.1.example.org/",
      "http://localhost.example.org/",
      "http://10.0.0.1/",
      "http://[::2]/",
      "https://user:secret@id.example.org/",
      "https://id.example.org/#keys",
      "file:///etc/keys.json",
      "keys.json"
    ])
      assert.deepStrictEqual(
        yield* mistakes({ ...whole, SPILLWAY_JWKS_URL: url }),
        [`SPILLWAY_JWKS_URL: ${JSON.stringify(url)}`],
        url
      )
  })
)

it.effect("needs the address, the issuer and the audience together, or none of them", () =>
  Effect.gen(function* () {
    const url = { SPILLWAY_JWKS_URL: "https://id.example.org/" }
    assert.deepStrictEqual(yield* mistakes({}), [])
    assert.deepStrictEqual(yield* mistakes(url), ["SPILLWAY_JWT_ISSUER: nothing", "SPILLWAY_JWT_AUDIENCE: nothing"])
    assert.deepStrictEqual(yield* mistakes({ ...url, SPILLWAY_JWT_ISSUER: "i" }), ["SPILLWAY_JWT_AUDIENCE: nothing"])
    assert.deepStrictEqual(yield* mistakes({ ...url, SPILLWAY_JWT_AUDIENCE: "a" }), ["SPILLWAY_JWT_ISSUER: nothing"])
    assert.deepStrictEqual(yield* mistakes(whole), ["SPILLWAY_JWKS_URL: nothing"])
  })
)
