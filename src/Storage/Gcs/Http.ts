/** HTTP requests to the JSON API: credentials, stall detection, cancellation and classification of faults. */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { Effect, Option, Schema } from "effect"
import type { Scope } from "effect"
import * as Response from "./Response.ts"
import type { GcsConfig } from "./GcsConfig.ts"
import type { Credentials } from "./Credentials.ts"
import { permanent, transient, fromStatus } from "./Fault.ts"
import type { GcsFault } from "./Fault.ts"
import * as Watchdog from "./Watchdog.ts"

/** Bytes of a response body: enough for a page of 1,000 objects with 8 KiB of metadata each. A longer one is a permanent fault. */
const maxResponse = 16 * 1_024 * 1_024

export interface Call extends Pick<Response.Request, "method" | "path"> {
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: Body
}

export interface Body {
  readonly type: string
  readonly size: number
  readonly pieces: (onProgress: Watchdog.OnProgress) => Iterable<Uint8Array>
}

export interface Reply {
  readonly status: number
  readonly header: (name: string) => string | undefined
  readonly text: string
}

export interface HttpClient {
  /** One attempt; returns the response whatever its status. After 401 the token is renewed and the request repeated once. */
  readonly exchange: (call: Call) => Effect.Effect<Reply, GcsFault>
  /** One attempt; returns the body of a successful response. */
  readonly text: (call: Call) => Effect.Effect<string, GcsFault>
  /** Requests bytes and passes the response to `begin` at once; the caller reads it to its end or closes it. Handles 401 as `exchange` does. */
  readonly media: (
    call: Call,
    attempt: Watchdog.Attempt,
    begin: (response: Response.HttpResponse) => void
  ) => Effect.Effect<void, GcsFault>
  /** Monotonic milliseconds, for deadlines. */
  readonly elapsed: () => number
}

/** Repeated header lines are joined (RFC 9110, 5.3): Google sends an object's checksums in two. */
export function header(response: Response.HttpResponse, name: string): string | undefined {
  const value = response.headers[name]
  return typeof value === "object" ? value.join(", ") : value
}

const Problem = Schema.fromJsonString(
  Schema.Struct({ error: Schema.Struct({ message: Schema.String.check(Schema.isMaxLength(1_000)) }) })
)
const decodeProblem = Schema.decodeOption(Problem)

const problem = (status: number, text: string): GcsFault =>
  fromStatus(
    status,
    Option.match(decodeProblem(text), {
      onNone: () => "an error without a message",
      onSome: ({ error }) => error.message
    })
  )

const isSuccess = (status: number): boolean => status >= 200 && status < 300

/** The body of a successful response; fails for any other status. */
export function successOf({ status, text }: Reply): Effect.Effect<string, GcsFault> {
  return isSuccess(status) ? Effect.succeed(text) : Effect.fail(problem(status, text))
}

const rest = Effect.fnUntraced(function* (response: Response.HttpResponse) {
  const pieces: Array<Uint8Array> = []
  let size = 0
  while (true) {
    const some = yield* response.next
    if (some === undefined) break
    for (const piece of some) size += piece.length
    if (size > maxResponse) return yield* permanent(`a response of more than ${maxResponse} bytes`)
    pieces.push(...some)
  }
  const [first] = pieces
  const bytes = first !== undefined && pieces.length === 1 ? first : Buffer.concat(pieces)
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString()
})

/** The fault of a read that did not return the requested bytes. */
export function failed(response: Response.HttpResponse): Effect.Effect<never, GcsFault> {
  return isSuccess(response.status)
    ? Effect.fail(permanent("the response does not hold the requested bytes"))
    : Effect.flatMap(rest(response), (text) => Effect.fail(problem(response.status, text)))
}

/** Uses a connection pool of its own, so that no other client in the process delays it. */
export function make(
  config: GcsConfig["Service"],
  credentials: Pick<Credentials, "discardToken" | "headers" | "origin">
): Effect.Effect<HttpClient, never, Scope.Scope> {
  return Effect.gen(function* () {
    const { discardToken, headers: token, origin } = credentials
    const dispatcher = yield* NodeHttpClient.makeDispatcherOptions({
      connections: config.connections,
      pipelining: 1,
      allowH2: false,
      keepAliveTimeout: 30_000
    })
    const watch = yield* Watchdog.make(config)

    type Headers = Readonly<Record<string, string>>

    const ask = (
      call: Call,
      known: Headers,
      bounds: Pick<Response.Bounds, "attempt" | "isRead">
    ): Response.HttpResponse => {
      const { body, headers, method, path } = call
      const about = body === undefined ? {} : { "content-type": body.type, "content-length": String(body.size) }
      const pieces = body === undefined ? {} : { body: body.pieces }
      const request = { origin, method, path, headers: { ...known, ...about, ...headers }, ...pieces }
      return Response.send(dispatcher, watch, { ahead: config.readAhead, ...bounds }, request)
    }

    /** Renews the token once. A second 401 is returned: the token did not fail because of its age. */
    const authorized = <A extends Pick<Reply, "status">>(once: (known: Headers) => Effect.Effect<A, GcsFault>) =>
      Effect.flatMap(Effect.flatMap(token, once), (response) => {
        if (response.status !== 401) return Effect.succeed(response)
        discardToken()
        return Effect.flatMap(token, once)
      })

    const exchange = (call: Call): Effect.Effect<Reply, GcsFault> =>
      authorized((known) => {
        const response = ask(call, known, { attempt: "other", isRead: false })
        const reply = (text: string): Reply => ({
          status: response.status,
          header: (name) => header(response, name),
          text
        })
        return response.begun.pipe(
          Effect.andThen(rest(response)),
          Effect.map(reply),
          Effect.ensuring(Effect.sync(response.close))
        )
      })

    return {
      exchange,
      text: (call) => Effect.flatMap(exchange(call), successOf),
      elapsed: watch.elapsed,
      media: (call, attempt, begin) =>
        Effect.suspend(() => {
          let previous: Response.HttpResponse | undefined
          const once = (known: Headers) => {
            previous?.close()
            const response = ask(call, known, { attempt, isRead: true })
            previous = response
            begin(response)
            return Effect.as(response.begun, response)
          }
          return Effect.asVoid(authorized(once))
        })
    }
  })
}

export function jsonBody(value: unknown): Body {
  const bytes = Buffer.from(JSON.stringify(value))
  return { type: "application/json", size: bytes.length, pieces: () => [bytes] }
}

/** Decodes a body. An invalid one is a transient fault: a truncated body is not valid JSON. */
export function parsed<A>(decode: (text: string) => Effect.Effect<A, Schema.SchemaError>) {
  return (text: string): Effect.Effect<A, GcsFault> =>
    Effect.mapError(decode(text), () => transient("an invalid response body"))
}

/** Bytes written to the socket at once; requesting the next piece counts as progress. */
const pieceSize = 1_048_576

function* pieces(parts: ReadonlyArray<Uint8Array>, onProgress: Watchdog.OnProgress): Generator<Uint8Array> {
  for (const part of parts) {
    for (let at = 0; at < part.length; at += pieceSize) {
      onProgress()
      yield part.length <= pieceSize ? part : part.subarray(at, at + pieceSize)
    }
  }
  onProgress()
}

/** The parts in pieces that report progress. */
export function sliced(parts: ReadonlyArray<Uint8Array>) {
  return (onProgress: Watchdog.OnProgress) => pieces(parts, onProgress)
}
