/** One request to the JSON API: with credentials, cut when nobody waits for it, its faults told apart. */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { Effect, Option, Schema, Stream, Tracer } from "effect"
import { HttpBody, HttpClientRequest } from "effect/http"
import type { HttpClientError, HttpClientResponse } from "effect/http"
import type { HttpMethod } from "effect/http/HttpMethod"
import type { GcsConfig } from "./GcsConfig.ts"
import type { GcsCredentials } from "./GcsCredentials.ts"
import { broken, cut, ofStatus, reasonOf } from "./GcsFault.ts"
import type { GcsFault } from "./GcsFault.ts"
import * as GcsMedia from "./GcsMedia.ts"
import * as GcsWatch from "./GcsWatch.ts"

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
    moved: GcsWatch.Moved
  ) => Effect.Effect<unknown, GcsFault>
  /** Both. */
  readonly json: (call: Call, moved: GcsWatch.Moved) => Effect.Effect<unknown, GcsFault>
  /** What says who we are. */
  readonly token: GcsCredentials["headers"]
  /** Asks for bytes at once. The answer must be read to its end, or closed. */
  readonly media: (path: string, headers: Readonly<Record<string, string>>) => GcsMedia.Media
  readonly attempt: GcsWatch.GcsWatch["attempt"]
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
  moved: GcsWatch.Moved
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

/** What the API says is wrong, by the body of its answer. */
export const problem = (status: number, text: string): GcsFault => {
  const reason = Option.match(Schema.decodeOption(Problem)(text), {
    onNone: () => "no success",
    onSome: ({ error }) => error.message
  })
  return ofStatus(status, reason)
}

export const failed = (response: HttpClientResponse.HttpClientResponse, moved: GcsWatch.Moved) =>
  Effect.flatMap(
    Effect.orElseSucceed(textOf(response, moved), () => ""),
    (text) => problem(response.status, text)
  )

export const isSuccess = ({ status }: { readonly status: number }): boolean => status >= 200 && status < 300

const read: GcsHttp["read"] = (response, moved) => {
  moved()
  if (!isSuccess(response)) return failed(response, moved)
  return Effect.flatMap(textOf(response, moved), (text) =>
    text === "" ? Effect.void : Effect.mapError(parse(text), () => cut("an answer that is no JSON"))
  )
}

/** With connections of its own, so that nothing else in the process gets in their way. */
export const make = Effect.fnUntraced(function* (config: GcsConfig["Service"], credentials: GcsCredentials) {
  const { headers: token, origin } = credentials
  const dispatcher = yield* NodeHttpClient.makeDispatcherOptions({
    connections: config.connections,
    pipelining: 1,
    allowH2: false,
    keepAliveTimeout: 30_000
  })
  const client = yield* Effect.provideService(NodeHttpClient.makeUndici, NodeHttpClient.Dispatcher, dispatcher)
  const watch = yield* GcsWatch.make(config)

  const execute = (call: Call) =>
    Effect.flatMap(token, (known) =>
      client.execute(
        HttpClientRequest.make(call.method)(origin + call.path, {
          headers: { ...known, ...call.headers },
          ...(call.body === undefined ? {} : { body: call.body })
        })
      )
    ).pipe(
      Effect.catchTag("HttpClientError", (error) => Effect.fail(faultOf(error))),
      Effect.provideService(Tracer.DisablePropagation, true)
    )

  const made: GcsHttp = {
    attempt: watch.attempt,
    execute,
    read,
    json: (call, moved) => Effect.flatMap(execute(call), (response) => read(response, moved)),
    token,
    media: (path, headers) => GcsMedia.start(dispatcher, watch, { origin, path, headers })
  }
  return made
})

/** Text as a JSON body. */
export const jsonBody = (value: unknown): HttpBody.HttpBody => HttpBody.jsonUnsafe(value)
