/** One request to the JSON API: with credentials, cut when nobody waits for it, its faults told apart. */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { Context, Effect, Layer, Option, Schema, Stream, Tracer } from "effect"
import { HttpBody, HttpClient, HttpClientRequest } from "effect/http"
import type { HttpClientError, HttpClientResponse } from "effect/http"
import type { HttpMethod } from "effect/http/HttpMethod"
import type { GcsConfig } from "./GcsConfig.ts"
import type { GcsCredentials } from "./GcsCredentials.ts"
import { broken, cut, ofStatus, reasonOf } from "./GcsFault.ts"
import type { GcsFault } from "./GcsFault.ts"
import type * as GcsPolicy from "./GcsPolicy.ts"

/** A page of 1,000 objects with 8 KiB of metadata each fits. */
const maxAnswer = 16 * 1_024 * 1_024

export interface Call {
  readonly method: HttpMethod
  /** With the query. */
  readonly path: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: HttpBody.HttpBody
}

export interface GcsHttp {
  /** The answer, whatever its status. Its body must be read or discarded: until then it holds the connection. */
  readonly execute: (call: Call) => Effect.Effect<HttpClientResponse.HttpClientResponse, GcsFault>
  /** The JSON of an answer that is a success; anything else is a fault. */
  readonly read: (
    response: HttpClientResponse.HttpClientResponse,
    moved: GcsPolicy.Moved
  ) => Effect.Effect<unknown, GcsFault>
  /** Both. */
  readonly json: (call: Call, moved: GcsPolicy.Moved) => Effect.Effect<unknown, GcsFault>
}

const faultOf = ({ reason }: HttpClientError.HttpClientError): GcsFault =>
  reason._tag === "InvalidUrlError" || reason._tag === "EncodeError"
    ? broken(reasonOf(reason))
    : cut(reasonOf("cause" in reason ? reason.cause : reason))

const parse = Schema.decodeUnknownEffect(Schema.fromJsonString(Schema.Unknown))

/** Ends the connection, unless the body is there already. */
export const discard = (response: HttpClientResponse.HttpClientResponse): Effect.Effect<void> =>
  Effect.scoped(Effect.asVoid(Stream.toPull(response.stream)))

/** The body as text. */
const textOf = (
  response: HttpClientResponse.HttpClientResponse,
  moved: GcsPolicy.Moved
): Effect.Effect<string, GcsFault> =>
  response.stream.pipe(
    Stream.mapError(faultOf),
    Stream.tap(() => Effect.sync(moved)),
    Stream.limitBytes(maxAnswer, () => Stream.fail(broken("an answer that is too large"))),
    Stream.decodeText(),
    Stream.mkString
  )

const Problem = Schema.fromJsonString(
  Schema.Struct({ error: Schema.Struct({ message: Schema.String.check(Schema.isMaxLength(1_000)) }) })
)

/** What the API says is wrong. */
export const failed = Effect.fnUntraced(function* (
  response: HttpClientResponse.HttpClientResponse,
  moved: GcsPolicy.Moved
) {
  const text = yield* Effect.orElseSucceed(textOf(response, moved), () => "")
  const problem = Schema.decodeOption(Problem)(text)
  const reason = Option.match(problem, { onNone: () => "no success", onSome: ({ error }) => error.message })
  return yield* ofStatus(response.status, reason)
})

export const isSuccess = ({ status }: HttpClientResponse.HttpClientResponse): boolean => status >= 200 && status < 300

const read: GcsHttp["read"] = (response, moved) => {
  moved()
  if (!isSuccess(response)) return failed(response, moved)
  return Effect.flatMap(textOf(response, moved), (text) =>
    text === "" ? Effect.void : Effect.mapError(parse(text), () => cut("an answer that is no JSON"))
  )
}

/** With connections of its own, so that nothing else in the process gets in their way. */
export const make = Effect.fnUntraced(function* (config: GcsConfig["Service"], credentials: GcsCredentials) {
  const layer = NodeHttpClient.layerUndiciOptions({
    connections: config.connections,
    pipelining: 1,
    allowH2: false,
    keepAliveTimeout: 30_000
  })
  const context = yield* Layer.build(layer)
  const client = Context.get(context, HttpClient.HttpClient)

  const execute = (call: Call) =>
    Effect.flatMap(credentials.headers, (token) =>
      client.execute(
        HttpClientRequest.make(call.method)(credentials.origin + call.path, {
          headers: { ...token, ...call.headers },
          ...(call.body === undefined ? {} : { body: call.body })
        })
      )
    ).pipe(
      Effect.catchTag("HttpClientError", (error) => Effect.fail(faultOf(error))),
      Effect.provideService(Tracer.DisablePropagation, true)
    )

  const made: GcsHttp = {
    execute,
    read,
    json: (call, moved) => Effect.flatMap(execute(call), (response) => read(response, moved))
  }
  return made
})

/** Text as a JSON body. */
export const jsonBody = (value: unknown): HttpBody.HttpBody => HttpBody.jsonUnsafe(value)
