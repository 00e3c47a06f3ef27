/** The issuer whose JWTs are accepted besides access keys. */
import { Context, Option } from "effect"
import * as Settings from "../../Settings.ts"

const isLoopback = (host: string): boolean => host === "localhost" || host === "[::1]" || /^127(\.\d+){3}$/.test(host)

const isKeySetUrl = (text: string): boolean => {
  const url = URL.parse(text)
  if (url === null || url.username !== "" || url.password !== "" || url.hash !== "") return false
  return url.protocol === "https:" || (url.protocol === "http:" && isLoopback(url.hostname))
}

const settings = {
  jwksUrl: Settings.optionalText(
    "SPILLWAY_JWKS_URL",
    "an https address (or http on a loopback address) without a user, such as `https://id.example.org/jwks.json`",
    isKeySetUrl,
    "Public keys of the issuer of JWTs, as a JSON Web Key Set. Set it, with the two settings below, so that users authenticate with the tokens of your identity provider, for example Firebase. Without it, only access keys are accepted."
  ),
  issuer: Settings.optionalText(
    "SPILLWAY_JWT_ISSUER",
    "the `iss` of the tokens, such as `https://securetoken.google.com/PROJECT`",
    (text) => text.trim() === text,
    "The issuer that tokens must name. Required with SPILLWAY_JWKS_URL."
  ),
  audience: Settings.optionalText(
    "SPILLWAY_JWT_AUDIENCE",
    "the `aud` of the tokens, such as the id of a Firebase project",
    (text) => text.trim() === text,
    "The audience that tokens must name. Required with SPILLWAY_JWKS_URL: an issuer signs tokens for other applications, too."
  ),
  uidClaim: Settings.text(
    "SPILLWAY_JWT_UID_CLAIM",
    "sub",
    "The claim with the user's id, of 1 to 128 characters of A-Z a-z 0-9 . _ -. Change it when `sub` has other characters or is not the id that your other services use."
  ),
  refreshInterval: Settings.constant(
    Settings.duration(
      "JWKS_REFRESH_INTERVAL",
      "1 minute",
      "Least time between two requests for the issuer's keys, whatever tokens arrive."
    )
  ),
  maxAge: Settings.constant(
    Settings.duration(
      "JWKS_MAX_AGE",
      "10 minutes",
      "Age at which the issuer's keys are read again. A key that the issuer removed is accepted for this long and a minute."
    )
  ),
  timeout: Settings.constant(
    Settings.duration("JWKS_TIMEOUT", "5 seconds", "Time for one request for the issuer's keys; then it has failed.")
  ),
  waiters: Settings.constant(
    Settings.integer(
      "JWKS_WAITERS",
      1_000,
      { min: 1, max: 1_000_000 },
      "Requests that wait for the issuer's keys at once; one more is answered with 503."
    )
  ),
  cacheEntries: Settings.constant(
    Settings.integer(
      "JWT_CACHE_ENTRIES",
      10_000,
      { min: 1, max: 1_000_000 },
      "Verified tokens in the cache; one more evicts the one that was verified longest ago."
    )
  )
}

const expectedWith = ({ expected }: Settings.Setting<unknown>, other: Settings.Setting<unknown>) =>
  `${expected}, because ${other.env} is set`

export class JwtConfig extends Context.Service<JwtConfig, Settings.Values<typeof settings>>()(
  "spillway/Auth/Jwt/JwtConfig"
) {
  static readonly settings = settings
  static readonly layer = Settings.layer(this, settings, (values) => {
    const needed = [settings.jwksUrl, settings.issuer, settings.audience]
    const found = [values.jwksUrl, values.issuer, values.audience]
    const set = needed.find((_, index) => Option.isSome(found[index] ?? Option.none()))
    if (set === undefined) return []
    return needed
      .filter((_, index) => Option.isNone(found[index] ?? Option.none()))
      .map((setting) => ({ env: setting.env, found: "nothing", expected: expectedWith(setting, set) }))
  })
}
