/** Authenticates requests by an access key or a JWT. Below, a key is either one. */
import { Context, Duration, Effect, Exit, Layer, Option, Redacted } from "effect"
import { HttpServerRequest } from "effect/http"
import { callerOf, DbCaller, type DbError } from "../Db.ts"
import { Authorization } from "./Authorization.ts"
import { Jwts } from "./Jwt/Jwts.ts"
import { type Key, Keys } from "./Keys.ts"
import { actingFor, Principal } from "./Principal.ts"
import { OptionalAuthorization, Visitor } from "./Visitor.ts"
import { Clients, Problem, ProblemRules } from "../Http.ts"

/** Where a key is accepted besides `Authorization: Bearer`. Browsers can't set headers on WebSockets and media elements. */
export interface KeySources {
  /** `?access_token=` */
  readonly query?: boolean
  /** The WebSocket subprotocol `bearer.<key>`. The server must select another offered subprotocol, or none. */
  readonly subprotocol?: boolean
  /** The password of `Authorization: Basic`, for clients that are given nothing but a URL. */
  readonly basic?: boolean
  /** Stream keys, too. Everywhere else they are refused with 403. */
  readonly streamKeys?: boolean
}

/** The principal of a stream key. */
export type FindStreamKey = (key: Redacted.Redacted) => Effect.Effect<Option.Option<Principal["Service"]>, DbError>

const streamKeyForm = /^spw_live_[A-Za-z0-9_-]{43}$/

export class Authentication extends Context.Service<
  Authentication,
  {
    /** The principal of the key, acting for `?uid=` if its scopes permit that. Fails with 401 without a valid key. */
    authenticate(
      request: HttpServerRequest.HttpServerRequest,
      sources?: KeySources
    ): Effect.Effect<Principal["Service"], Problem | DbError>
    /** Who finds stream keys. Until then none is valid. */
    findStreamKeysBy(find: FindStreamKey): Effect.Effect<void>
    /** As `authenticate`; none if the request has no key at all. */
    visitor(
      request: HttpServerRequest.HttpServerRequest,
      sources?: KeySources
    ): Effect.Effect<Option.Option<Principal["Service"]>, Problem | DbError>
    /** The principal of a key in `Authorization: Bearer`, acting for itself. None unless the key is known without a query. */
    cached(authorization: string | undefined, connection: object): Option.Option<Principal["Service"]>
  }
>()("spillway/Auth/Authentication") {
  static readonly layer = Layer.effect(
    Authentication,
    Effect.gen(function* () {
      const keys = yield* Keys
      const jwts = yield* Jwts

      const ofKey = (secret: Redacted.Redacted) =>
        Effect.flatMapEager(keys.find(secret), (key) => {
          if (Option.isNone(key)) return Problem.unauthorized("The key is unknown, expired or revoked.")
          return Effect.succeed(principalOf(key.value))
        })

      let findStreamKey: FindStreamKey = () => Effect.succeedNone
      const ofStreamKey = (secret: Redacted.Redacted, { streamKeys = false }: KeySources) =>
        streamKeys
          ? Effect.flatMap(findStreamKey(secret), (principal) =>
              Option.isNone(principal)
                ? Problem.unauthorized("The stream key is unknown, or was replaced.")
                : Effect.succeed(principal.value)
            )
          : Problem.forbidden("A stream key is for capture only. Use an access key here.")

      const ofJwt = (token: Redacted.Redacted) =>
        jwts.verify(token).pipe(
          Effect.map((uid): Principal["Service"] => ({ uid, scopes: [], keyId: "jwt" })),
          Effect.catchTags({
            JwtRejected: ({ message }) => Problem.unauthorized(message),
            IssuerUnavailable: ({ retryAfter }) => issuerUnavailable(retryAfter)
          })
        )

      const authenticate = Effect.fnUntracedEager(function* (
        request: HttpServerRequest.HttpServerRequest,
        sources: KeySources = {}
      ) {
        const query = new URLSearchParams(request.url.split("?")[1])
        const token = tokenOf(request, query, sources)
        if (token === undefined) return yield* Problem.unauthorized("Send an access key as `Authorization: Bearer`.")
        const secret = Redacted.make(token)
        const principal = yield* streamKeyForm.test(token)
          ? ofStreamKey(secret, sources)
          : jwts.isJwt(token)
            ? ofJwt(secret)
            : ofKey(secret)
        return yield* actingFor(principal, query.get("uid") ?? undefined)
      })
      return Authentication.of({
        authenticate,
        findStreamKeysBy: (find) =>
          Effect.sync(() => {
            findStreamKey = find
          }),
        visitor: (request, sources = {}) => {
          const query = new URLSearchParams(request.url.split("?")[1])
          const isAnonymous =
            request.headers["authorization"] === undefined && tokenOf(request, query, sources) === undefined
          return isAnonymous ? Effect.succeedNone : Effect.asSome(authenticate(request, sources))
        },
        cached: (authorization, connection) => {
          const token = bearer(authorization)
          if (token === undefined || jwts.isJwt(token)) return Option.none()
          const key = keys.cached(token, connection)
          return Exit.isSuccess(key) ? Option.map(key.value, principalOf) : Option.none()
        }
      })
    })
  )

  static readonly layerAuthorization = Layer.merge(
    Layer.effect(
      Authorization,
      Effect.gen(function* () {
        const { authenticate } = yield* Authentication
        const problems = yield* ProblemRules
        return Authorization.of({
          bearer: (handler) =>
            HttpServerRequest.HttpServerRequest.pipe(
              Effect.flatMap(authenticate),
              problems.answer,
              Effect.flatMap((principal) =>
                handler.pipe(
                  Effect.provideService(Principal, principal),
                  Effect.provideService(DbCaller, callerOf(principal.uid))
                )
              )
            )
        })
      })
    ),
    Layer.effect(
      OptionalAuthorization,
      Effect.gen(function* () {
        const { visitor } = yield* Authentication
        const problems = yield* ProblemRules
        return OptionalAuthorization.of((handler) =>
          HttpServerRequest.HttpServerRequest.pipe(
            Effect.flatMap((request) => Effect.map(visitor(request), (visitor) => ({ request, visitor }))),
            problems.answer,
            Effect.flatMap(({ request, visitor }) =>
              handler.pipe(
                Effect.provideService(Visitor, visitor),
                Effect.provideService(DbCaller, callerOf(Option.getOrUndefined(visitor)?.uid ?? anonymous(request)))
              )
            )
          )
        )
      })
    )
  )
}

/** In whose turns those of one address work who send no key. No id of a user. */
const anonymous = (request: HttpServerRequest.HttpServerRequest) => `(anonymous) ${Clients.addressOf(request)}`

const principalOf = ({ id: keyId, scopes, uid }: Key): Principal["Service"] => ({ uid, scopes, keyId })

const issuerUnavailable = (retryAfter: Duration.Duration) =>
  Problem.unavailable(
    "issuer-unavailable",
    "The token can't be verified now",
    "The keys of its issuer can't be read. Try again later.",
    Math.ceil(Duration.toSeconds(retryAfter))
  )

const tokenOf = (
  { headers }: HttpServerRequest.HttpServerRequest,
  query: URLSearchParams,
  sources: KeySources
): string | undefined => {
  const token =
    bearer(headers["authorization"]) ??
    (sources.basic === true ? password(headers["authorization"]) : undefined) ??
    (sources.query === true ? query.get("access_token") : null) ??
    (sources.subprotocol === true ? offered(headers["sec-websocket-protocol"]) : undefined)
  return token === null || token === "" ? undefined : token
}

const bearer = (header: string | undefined): string | undefined => /^bearer +(\S+) *$/i.exec(header ?? "")?.[1]

const password = (header: string | undefined): string | undefined => {
  const credentials = /^basic +(\S+) *$/i.exec(header ?? "")?.[1]
  return credentials === undefined
    ? undefined
    : /^[^:]*:(.*)$/s.exec(Buffer.from(credentials, "base64").toString("utf8"))?.[1]
}

const offered = (header: string | undefined): string | undefined =>
  (header ?? "")
    .split(",")
    .map((protocol) => protocol.trim())
    .find((protocol) => protocol.startsWith("bearer."))
    ?.slice("bearer.".length)
