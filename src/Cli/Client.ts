/** HTTP requests to the server. */
import { Effect, Option, Predicate, Redacted, Schema, identity } from "effect"
import { HttpClient, HttpClientRequest, type HttpClientResponse } from "effect/http"
import { ErrorResponse } from "./ErrorResponse.ts"
import type * as Target from "./Target.ts"

/** No usable response: no connection, a broken one, or a body that is not Spillway's. */
export class Unreachable extends Schema.TaggedError<Unreachable>()("Unreachable", {
  url: Schema.String,
  reason: Schema.String,
  /** The peer accepted the connection and closed it without a response. */
  isAborted: Schema.optionalKey(Schema.Boolean)
}) {
  override get message() {
    if (this.isAborted === true)
      return `The server at ${this.url} closed the connection without a response (${this.reason}). See its log.`
    return `No Spillway answers at ${this.url} (${this.reason}). Start one with \`npm start\`, or name another with --url.`
  }
}

/** Reads the error of a response that is not 2xx. */
export function errorOf(response: HttpClientResponse.HttpClientResponse) {
  return Effect.map(
    Effect.orElseSucceed(response.text, () => ""),
    (body) => ErrorResponse.of(response.status, body, response.headers["retry-after"])
  )
}

const unreachable = (url: string) => (reason: string) => new Unreachable({ url, reason })

export function send({ key, uid, url }: Target.Server, request: HttpClientRequest.HttpClientRequest) {
  return Effect.gen(function* () {
    const client = yield* HttpClient.HttpClient
    const asked = request.pipe(
      HttpClientRequest.prependUrl(url),
      HttpClientRequest.bearerToken(Redacted.value(key)),
      uid === undefined ? identity : HttpClientRequest.setUrlParam("uid", uid)
    )
    return yield* client
      .execute(asked)
      .pipe(
        Effect.mapError(
          ({ reason }) =>
            new Unreachable({ url, reason: reasonOf(reason), isAborted: abortCodes.includes(codeOf(reason)) })
        )
      )
  })
}

/** Codes of undici and of the system for an established connection that ended. */
const abortCodes = ["UND_ERR_SOCKET", "ECONNRESET", "EPIPE"]

const codeOf = ({ cause }: { readonly cause?: unknown }): string =>
  Predicate.hasProperty(cause, "code") && Predicate.isString(cause.code) ? cause.code : ""

const reasonOf = (reason: { readonly _tag: string; readonly cause?: unknown }): string => {
  const cause = reason.cause
  return cause instanceof Error && cause.message !== "" ? cause.message : reason._tag
}

export function sendOk(target: Target.Server, request: HttpClientRequest.HttpClientRequest) {
  return Effect.flatMap(send(target, request), (response) =>
    response.status >= 200 && response.status < 300 ? Effect.succeed(response) : Effect.flip(errorOf(response))
  )
}

export function json<A>(
  target: Target.Server,
  request: HttpClientRequest.HttpClientRequest,
  schema: Schema.Codec<A, unknown>
) {
  return Effect.gen(function* () {
    const response = yield* sendOk(target, request)
    const body = yield* Effect.option(Effect.flatMap(response.json, Schema.decodeUnknownEffect(schema)))
    if (Option.isNone(body)) return yield* unreachable(target.url)("its response is not Spillway's")
    return body.value
  })
}
