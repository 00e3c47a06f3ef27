/**
 * Tokens that permit playing one audio file, or a whole conversation, in one format, for an hour and without a key:
 * `base64url(payload).base64url(HMAC-SHA256(secret, payload))`.
 */
import { createHmac, timingSafeEqual } from "node:crypto"
import { Clock, Context, Duration, Effect, Layer, Option, Schema } from "effect"
import type { DbError } from "../../Db.ts"
import { Format } from "../AudioApi.ts"
import { UrlSecret } from "./UrlSecret.ts"

export interface Claim {
  readonly uid: string
  readonly conversation: string
  /** An audio file, or the whole conversation: see `wholeId`. */
  readonly file: string
  readonly format: typeof Format.Type
}

const lifetime = Duration.minutes(60)

/** So that no other signature with the same secret is one of a token. */
const kind = "audio"

export class AudioTokens extends Context.Service<
  AudioTokens,
  {
    sign(claim: Claim): Effect.Effect<string, DbError>
    /** None if the token was changed or has expired. */
    verify(token: string): Effect.Effect<Option.Option<Claim>, DbError>
    /** As `verify`, but only in memory: none also before the secret is read. A connection's last token is verified once. */
    verifyNow(token: string, connection: object): Option.Option<Claim>
  }
>()("spillway/Playback/Urls/AudioTokens") {
  static readonly layer = Layer.effect(
    AudioTokens,
    Effect.gen(function* () {
      const secret = yield* UrlSecret
      const clock = yield* Clock.Clock
      let known: Uint8Array | undefined
      const read = Effect.map(secret.read, (key) => (known = key))
      const last = new WeakMap<object, { readonly token: string; readonly signed: Signed }>()

      const claimOf = ({ claim, expires }: Signed) =>
        clock.currentTimeMillisUnsafe() < expires * 1_000 ? Option.fromUndefinedOr(claim) : Option.none()

      return AudioTokens.of({
        sign: Effect.fnUntraced(function* (claim) {
          const key = yield* read
          const now = yield* Clock.currentTimeMillis
          const payload = payloadOf(claim, Math.floor((now + Duration.toMillis(lifetime)) / 1_000))
          return tokenOf(key, payload)
        }),
        verify: (token) => Effect.map(read, (key) => claimOf(signedBy(key, token))),
        verifyNow: (token, connection) => {
          if (known === undefined) return Option.none()
          const before = last.get(connection)
          const signed = before?.token === token ? before.signed : signedBy(known, token)
          if (before?.signed !== signed) last.set(connection, { token, signed })
          return claimOf(signed)
        }
      })
    })
  )
}

/** `expires` in Unix seconds. No part contains a slash. */
const payloadOf = ({ conversation, file, format, uid }: Claim, expires: number): string =>
  [kind, uid, conversation, file, format, expires].join("/")

const tokenOf = (key: Uint8Array, payload: string): string =>
  `${Buffer.from(payload).toString("base64url")}.${createHmac("sha256", key).update(payload).digest("base64url")}`

/** Takes constant time for all tokens of the same length. */
const isEqual = (token: string, right: string): boolean => {
  const [a, b] = [Buffer.from(token), Buffer.from(right)]
  return a.length === b.length && timingSafeEqual(a, b)
}

const isFormat = Schema.is(Format)

interface Signed {
  readonly claim: Claim | undefined
  /** Unix seconds. */
  readonly expires: number
}

const parse = (payload: string): Signed => {
  const [name, uid = "", conversation = "", file = "", format, expires] = payload.split("/")
  const claim = name === kind && isFormat(format) ? { uid, conversation, file, format } : undefined
  return { claim, expires: Number(expires) }
}

/** Without a claim if the token was changed. */
const signedBy = (key: Uint8Array, token: string): Signed => {
  const payload = Buffer.from(token.split(".")[0] ?? "", "base64url").toString()
  return isEqual(token, tokenOf(key, payload)) ? parse(payload) : { claim: undefined, expires: 0 }
}
