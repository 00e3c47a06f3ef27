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
  }
>()("spillway/Playback/Urls/AudioTokens") {
  static readonly layer = Layer.effect(
    AudioTokens,
    Effect.gen(function* () {
      const secret = yield* UrlSecret
      return AudioTokens.of({
        sign: Effect.fnUntraced(function* (claim) {
          const key = yield* secret.read
          const now = yield* Clock.currentTimeMillis
          const payload = payloadOf(claim, Math.floor((now + Duration.toMillis(lifetime)) / 1_000))
          return tokenOf(key, payload)
        }),
        verify: Effect.fnUntraced(function* (token) {
          const payload = Buffer.from(token.split(".")[0] ?? "", "base64url").toString()
          const key = yield* secret.read
          if (!isEqual(token, tokenOf(key, payload))) return Option.none()
          const { claim, expires } = parse(payload)
          return claim !== undefined && (yield* Clock.currentTimeMillis) < expires * 1_000
            ? Option.some(claim)
            : Option.none()
        })
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

const parse = (payload: string): { readonly claim: Claim | undefined; readonly expires: number } => {
  const [name, uid = "", conversation = "", file = "", format, expires] = payload.split("/")
  const claim = name === kind && isFormat(format) ? { uid, conversation, file, format } : undefined
  return { claim, expires: Number(expires) }
}
