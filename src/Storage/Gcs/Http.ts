/** Requests to the JSON API: with credentials, watched, cut when nobody waits for them, their faults told apart. */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { Effect, Option, Schema } from "effect"
import type { Scope } from "effect"
import * as GcsAnswer from "./Response.ts"
import type { GcsConfig } from "./GcsConfig.ts"
import type { GcsCredentials } from "./Credentials.ts"
import { broken, cut, ofStatus } from "./Fault.ts"
import type { GcsFault } from "./Fault.ts"
import * as GcsWatch from "./Watchdog.ts"

/** A page of 1,000 objects with 8 KiB of metadata each fits. */
const maxAnswer = 16 * 1_024 * 1_024

export interface Call extends Pick<GcsAnswer.Request, "method" | "path"> {
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: Body
}

export interface Body {
  readonly type: string
  readonly size: number
  readonly pieces: (moved: GcsWatch.Moved) => Iterable<Uint8Array>
}

/** All of an answer. */
export interface Reply {
  readonly status: number
  readonly header: (name: string) => string | undefined
  readonly text: string
}

export interface GcsHttp {
  /** One attempt; the answer, whatever its status. A token that is refused (401) is renewed, and the request repeated once. */
  readonly exchange: (call: Call) => Effect.Effect<Reply, GcsFault>
  /** One attempt; the text of an answer that is a success. */
  readonly text: (call: Call) => Effect.Effect<string, GcsFault>
  /** Asks for bytes, and hands the answer over at once: it must be read to its end, or closed. Repeats after 401, as `exchange`. */
  readonly media: (
    call: Call,
    attempt: GcsWatch.Attempt,
    begin: (answer: GcsAnswer.GcsAnswer) => void
  ) => Effect.Effect<void, GcsFault>
  /** Milliseconds since some moment, for deadlines. */
  readonly elapsed: () => number
}

/** Several lines are one (RFC 9110, 5.3): Google sends an object's sums in two. */
export function header(answer: GcsAnswer.GcsAnswer, name: string): string | undefined {
  const value = answer.headers[name]
  return typeof value === "object" ? value.join(", ") : value
}

const Problem = Schema.fromJsonString(
  Schema.Struct({ error: Schema.Struct({ message: Schema.String.check(Schema.isMaxLength(1_000)) }) })
)
const decodeProblem = Schema.decodeOption(Problem)

/** What the API says is wrong, by the body of its answer. */
const problem = (status: number, text: string): GcsFault =>
  ofStatus(
    status,
    Option.match(decodeProblem(text), { onNone: () => "no success", onSome: ({ error }) => error.message })
  )

const isSuccess = (status: number): boolean => status >= 200 && status < 300

/** The text of an answer that is a success; anything else is a fault. */
export function successOf({ status, text }: Reply): Effect.Effect<string, GcsFault> {
  return isSuccess(status) ? Effect.succeed(text) : Effect.fail(problem(status, text))
}

/** The rest of an answer. */
const rest = Effect.fnUntraced(function* (answer: GcsAnswer.GcsAnswer) {
  const pieces: Array<Uint8Array> = []
  let size = 0
  while (true) {
    const some = yield* answer.next
    if (some === undefined) break
    for (const piece of some) size += piece.length
    if (size > maxAnswer) return yield* broken("an answer that is too large")
    pieces.push(...some)
  }
  const [first] = pieces
  const bytes = first !== undefined && pieces.length === 1 ? first : Buffer.concat(pieces)
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString()
})

/** For a read that is no success. */
export function failed(answer: GcsAnswer.GcsAnswer): Effect.Effect<never, GcsFault> {
  return isSuccess(answer.status)
    ? Effect.fail(broken("not the bytes that were asked for"))
    : Effect.flatMap(rest(answer), (text) => Effect.fail(problem(answer.status, text)))
}

/** With connections of its own, so that nothing else in the process gets in their way. */
export function make(
  config: GcsConfig["Service"],
  credentials: Pick<GcsCredentials, "headers" | "origin" | "refused">
): Effect.Effect<GcsHttp, never, Scope.Scope> {
  return Effect.gen(function* () {
    const { headers: token, origin, refused } = credentials
    const dispatcher = yield* NodeHttpClient.makeDispatcherOptions({
      connections: config.connections,
      pipelining: 1,
      allowH2: false,
      keepAliveTimeout: 30_000
    })
    const watch = yield* GcsWatch.make(config)

    type Headers = Readonly<Record<string, string>>

    const ask = (
      call: Call,
      known: Headers,
      bounds: Pick<GcsAnswer.Bounds, "attempt" | "isRead">
    ): GcsAnswer.GcsAnswer => {
      const { body, headers, method, path } = call
      const about = body === undefined ? {} : { "content-type": body.type, "content-length": String(body.size) }
      const pieces = body === undefined ? {} : { body: body.pieces }
      const request = { origin, method, path, headers: { ...known, ...about, ...headers }, ...pieces }
      return GcsAnswer.ask(dispatcher, watch, { ahead: config.readAhead, ...bounds }, request)
    }

    /** A second 401 is the answer: then it is not the token's age that is refused. */
    const authorized = <A extends Pick<Reply, "status">>(once: (known: Headers) => Effect.Effect<A, GcsFault>) =>
      Effect.flatMap(Effect.flatMap(token, once), (answer) => {
        if (answer.status !== 401) return Effect.succeed(answer)
        refused()
        return Effect.flatMap(token, once)
      })

    const exchange = (call: Call): Effect.Effect<Reply, GcsFault> =>
      authorized((known) => {
        const answer = ask(call, known, { attempt: "other", isRead: false })
        const reply = (text: string): Reply => ({ status: answer.status, header: (name) => header(answer, name), text })
        return answer.begun.pipe(
          Effect.andThen(rest(answer)),
          Effect.map(reply),
          Effect.ensuring(Effect.sync(answer.close))
        )
      })

    return {
      exchange,
      text: (call) => Effect.flatMap(exchange(call), successOf),
      elapsed: watch.elapsed,
      media: (call, attempt, begin) =>
        Effect.suspend(() => {
          let previous: GcsAnswer.GcsAnswer | undefined
          const once = (known: Headers) => {
            previous?.close()
            const answer = ask(call, known, { attempt, isRead: true })
            previous = answer
            begin(answer)
            return Effect.as(answer.begun, answer)
          }
          return Effect.asVoid(authorized(once))
        })
    }
  })
}

/** A value as a JSON body. */
export function jsonBody(value: unknown): Body {
  const bytes = Buffer.from(JSON.stringify(value))
  return { type: "application/json", size: bytes.length, pieces: () => [bytes] }
}

/** Half an answer is no JSON, and nothing that a success says. */
export function parsed<A>(decode: (text: string) => Effect.Effect<A, Schema.SchemaError>) {
  return (text: string): Effect.Effect<A, GcsFault> =>
    Effect.mapError(decode(text), () => cut("an answer that can't be understood"))
}
