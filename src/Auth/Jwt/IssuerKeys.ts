/** The public keys of the issuer of JWTs: read periodically, and again when a token names an unknown key. */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import {
  Cause,
  Clock,
  Context,
  Duration,
  Effect,
  Exit,
  Fiber,
  Layer,
  Metric,
  Option,
  Schema,
  Semaphore,
  Stream
} from "effect"
import { HttpClient } from "effect/http"
import { createLocalJWKSet } from "jose"
import * as BackgroundLoop from "../../BackgroundLoop.ts"
import { JwtConfig } from "./JwtConfig.ts"

/** Selects the key of a token. */
export type KeySet = ReturnType<typeof createLocalJWKSet>

/** Bytes of a key set: more than 100 keys. A longer one is a failure. */
const maxBody = 256 * 1024

/** The keys can't be read, or too many requests wait for them. `retryAfter` is the time until they are read again. */
export class IssuerUnavailable extends Schema.TaggedError<IssuerUnavailable>()("IssuerUnavailable", {
  reason: Schema.String,
  retryAfter: Schema.Duration
}) {
  override get message() {
    return `The keys of the JWT issuer can't be read (${this.reason})`
  }
}

export class IssuerKeys extends Context.Service<
  IssuerKeys,
  {
    /** The keys that were read last, also while reading them again fails. */
    readonly current: () => KeySet | undefined
    /** Reads the keys again, with one request for all callers, unless that was tried within `refreshInterval`. */
    readonly refreshed: Effect.Effect<KeySet, IssuerUnavailable>
  }
>()("spillway/Auth/Jwt/IssuerKeys") {
  static readonly layerOf = (url: string) =>
    Layer.effect(IssuerKeys, make(url)).pipe(Layer.provide(NodeHttpClient.layerUndici))
}

const optional = Schema.optionalKey(Schema.String)
const common = { kid: optional, alg: optional, use: optional }

/** The keys of RS256 and ES256. Members that are not needed, such as private ones, are dropped. */
const Key = Schema.Union([
  Schema.Struct({ kty: Schema.Literal("RSA"), n: Schema.String, e: Schema.String, ...common }),
  Schema.Struct({
    kty: Schema.Literal("EC"),
    crv: Schema.Literal("P-256"),
    x: Schema.String,
    y: Schema.String,
    ...common
  })
])

const decodeSet = Schema.decodeUnknownOption(
  Schema.fromJsonString(Schema.Struct({ keys: Schema.Array(Schema.Unknown) }))
)
const decodeKey = Schema.decodeUnknownOption(Key)

const refreshes = Metric.counter("spillway_jwks_refreshes_total", {
  description: "Requests for the keys of the JWT issuer",
  incremental: true
})
const failures = Metric.counter("spillway_jwks_refresh_failures_total", {
  description: "Requests for the keys of the JWT issuer that failed",
  incremental: true
})
const known = Metric.gauge("spillway_jwks_keys", { description: "Keys of the JWT issuer that are in use" })

/** One request. Redirects are not followed: they are failures. Fails with the reason. */
const read = Effect.fnUntraced(function* (client: HttpClient.HttpClient, url: string) {
  const response = yield* Effect.mapError(
    HttpClient.withScope(client).get(url, { headers: { accept: "application/json" } }),
    ({ reason }) => (reason.cause instanceof Error ? reason.cause.message : reason._tag)
  )
  if (response.status !== 200) return yield* Effect.fail(`status ${response.status}`)
  const body = yield* response.stream.pipe(
    Stream.mapError(() => "the response is incomplete"),
    Stream.limitBytes(maxBody, () => Stream.fail(`more than ${maxBody} bytes`)),
    Stream.decodeText(),
    Stream.mkString
  )
  const { keys } = yield* Effect.mapError(Effect.fromOption(decodeSet(body)), () => "it is not a JSON Web Key Set")
  const usable = keys.flatMap((key) => Option.toArray(decodeKey(key)))
  if (usable.length === 0) return yield* Effect.fail("it has no key for RS256 or ES256")
  return { keys: createLocalJWKSet({ keys: usable }), count: usable.length }
}, Effect.scoped)

const reasonOf = (cause: Cause.Cause<string>): string =>
  Option.getOrElse(Cause.findErrorOption(cause), () => "an internal error")

const make = Effect.fnUntraced(function* (url: string) {
  const config = yield* JwtConfig
  const client = yield* HttpClient.HttpClient
  const scope = yield* Effect.scope
  const interval = Duration.toMillis(config.refreshInterval)
  const waiters = yield* Semaphore.make(config.waiters)
  let current: KeySet | undefined
  let attemptedAt = 0
  let isFailing = false

  const unavailable = (reason: string) =>
    Effect.map(Clock.currentTimeMillis, (now) => {
      const retryAfter = Duration.millis(Math.max(1_000, attemptedAt + interval - now))
      return new IssuerUnavailable({ reason, retryAfter })
    })

  const onFailure = Effect.fnUntraced(function* (cause: Cause.Cause<string>) {
    const isFirst = !isFailing
    isFailing = true
    yield* Metric.update(failures, 1)
    if (Cause.hasDies(cause)) yield* Effect.logError("The keys of the JWT issuer can't be read", cause)
    else if (isFirst) yield* Effect.logWarning(`The keys of the JWT issuer can't be read: ${reasonOf(cause)}`)
  })

  const attempt = Effect.gen(function* () {
    attemptedAt = yield* Clock.currentTimeMillis
    yield* Metric.update(refreshes, 1)
    const { count, keys } = yield* Effect.timeoutOrElse(read(client, url), {
      duration: config.timeout,
      orElse: () => Effect.fail(`no response within ${Duration.format(config.timeout)}`)
    })
    current = keys
    yield* Metric.update(known, count)
    if (isFailing) yield* Effect.logInfo("The keys of the JWT issuer can be read again")
    isFailing = false
    return keys
  }).pipe(Effect.tapCause(onFailure))

  // Forked in the layer's scope, so that a request that is interrupted does not cancel the attempt of the others.
  const latest = yield* Effect.cachedWithTTL(Effect.forkIn(attempt, scope), config.refreshInterval)
  const refreshed = latest.pipe(
    Effect.flatMap(Fiber.await),
    Effect.flatMap(
      Exit.match({
        onSuccess: (keys) => Effect.succeed(keys),
        onFailure: (cause) => Effect.flatMap(unavailable(reasonOf(cause)), (error) => Effect.fail(error))
      })
    )
  )

  yield* BackgroundLoop.fork(
    Effect.match(refreshed, { onSuccess: () => config.maxAge, onFailure: () => config.refreshInterval }),
    { failed: "The keys of the JWT issuer were not read", retryAfter: config.refreshInterval }
  )

  return IssuerKeys.of({
    current: () => current,
    refreshed: waiters
      .withPermitsIfAvailable(1)(refreshed)
      .pipe(
        Effect.flatMap(
          Option.match({
            onSome: Effect.succeed,
            onNone: () => Effect.flatMap(unavailable("too many requests wait for them"), Effect.fail)
          })
        )
      )
  })
})
