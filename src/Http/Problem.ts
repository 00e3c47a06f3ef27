/** The error that every edge fails with, sent as RFC 9457 problem details. */
import { Context, Effect, Schema, SchemaIssue, SchemaTransformation } from "effect"
import { HttpServerRespondable, HttpServerResponse, ProblemDetails } from "effect/http"
import { HttpApi, HttpApiSchema } from "effect/http-api"

/** One mistake in a request: its path (`["query", "limit"]`), and what was expected. */
const Mistake = Schema.Struct({
  path: Schema.Array(Schema.Union([Schema.String, Schema.Finite])),
  message: Schema.String
})
export type Mistake = typeof Mistake.Type

/** The JSON body. `type` is `urn:spillway:problem:` and a stable code; `title` and `detail` are for people. */
export const ProblemBody = Schema.Struct({
  type: Schema.String,
  title: Schema.String,
  status: Schema.Int,
  detail: Schema.optionalKey(Schema.String),
  errors: Schema.optionalKey(Schema.Array(Mistake)),
  id: Schema.optionalKey(Schema.String)
}).annotate({ identifier: "Problem" })

const prefix = "urn:spillway:problem:"

interface Extra {
  readonly headers?: Readonly<Record<string, string>>
  readonly errors?: ReadonlyArray<Mistake>
  readonly id?: string
}

/** `headers` are sent with the response; `id` identifies the log line of an internal error. */
export class Problem extends Schema.TaggedError<Problem>()("Problem", {
  status: Schema.Int,
  code: Schema.String,
  title: Schema.String,
  detail: Schema.optionalKey(Schema.String),
  errors: Schema.optionalKey(Schema.Array(Mistake)),
  id: Schema.optionalKey(Schema.String),
  headers: Schema.optionalKey(Schema.Record(Schema.String, Schema.String))
}) {
  override get message() {
    return this.detail ?? this.title
  }

  get body(): typeof ProblemBody.Type {
    const { detail, errors, id, status, title } = this
    return {
      type: prefix + this.code,
      title,
      status,
      ...(detail === undefined ? {} : { detail }),
      ...(errors === undefined ? {} : { errors }),
      ...(id === undefined ? {} : { id })
    }
  }

  get response(): HttpServerResponse.HttpServerResponse {
    return HttpServerResponse.jsonUnsafe(this.body, {
      status: this.status,
      contentType: ProblemDetails.contentType,
      headers: { "cache-control": "no-store", ...this.headers }
    })
  }

  [HttpServerRespondable.symbol]() {
    return Effect.succeed(this.response)
  }

  /** Response schemas of these statuses for the `error` of an endpoint, whose handler fails with `Problem`. */
  static documented(...statuses: ReadonlyArray<number>) {
    return statuses.map((status) =>
      ProblemBody.pipe(
        Schema.decodeTo(
          Schema.declare((u): u is Problem => u instanceof Problem && u.status === status),
          SchemaTransformation.transform({
            decode: ({ type, ...rest }) => new Problem({ ...rest, code: type.replace(prefix, "") }),
            encode: (problem) => problem.body
          })
        ),
        HttpApiSchema.status(status),
        HttpApiSchema.asJson({ contentType: ProblemDetails.contentType })
      )
    )
  }

  static badRequest(detail: string, errors?: ReadonlyArray<Mistake>) {
    return make(400, "bad-request", "The request is not valid", detail, errors === undefined ? {} : { errors })
  }

  /** Decoding errors in one part of a request: `query`, `params`, `headers` or `body`. */
  static invalid(part: string, error: Schema.SchemaError) {
    const errors = format(error.issue).issues.map(({ message, path }) => ({
      path: [part, ...(path ?? []).map(segment)],
      message
    }))
    return Problem.badRequest(errors.map(({ message, path }) => `${path.join(".")}: ${message}`).join("; "), errors)
  }

  /** A query parameter that is decoded, but not allowed here. */
  static badQuery(field: string, message: string) {
    return Problem.badRequest(`query.${field}: ${message}`, [{ path: ["query", field], message }])
  }

  static unauthorized(detail: string) {
    return make(401, "unauthorized", "A valid key is needed", detail, { headers: { "www-authenticate": "Bearer" } })
  }

  static forbidden(detail: string) {
    return make(403, "forbidden", "The key does not permit this", detail)
  }

  /** Also for what belongs to another user. */
  static notFound(detail: string) {
    return make(404, "not-found", "There is nothing here", detail)
  }

  static methodNotAllowed(allowed: ReadonlyArray<string>) {
    const allow = allowed.join(", ")
    return make(405, "method-not-allowed", "The path does not support this method", `It supports ${allow}.`, {
      headers: { allow }
    })
  }

  static conflict(code: string, title: string, detail: string) {
    return make(409, code, title, detail)
  }

  /** `If-Match` names another version than the current one. */
  static preconditionFailed(code: string, title: string, detail: string) {
    return make(412, code, title, detail)
  }

  /** Closes the connection, because the rest of the body is not read. */
  static tooLarge(detail: string) {
    return make(413, "too-large", "The body is too large", detail, { headers: { connection: "close" } })
  }

  /** `size` of the whole representation, in bytes. */
  static rangeNotSatisfiable(size: number) {
    return make(416, "range-not-satisfiable", "The range lies outside of the file", `The file has ${size} bytes.`, {
      headers: { "content-range": `bytes */${size}` }
    })
  }

  /** The request is well-formed, but asks for what is not allowed; `errors` name the rules. */
  static unprocessable(code: string, title: string, detail: string, errors: ReadonlyArray<Mistake>) {
    return make(422, code, title, detail, { errors })
  }

  /** `retryAfter` in seconds. */
  static tooMany(code: string, title: string, detail: string, retryAfter = 1) {
    return make(429, code, title, detail, { headers: { "retry-after": String(retryAfter) } })
  }

  /** The same request can succeed later. `retryAfter` in seconds. */
  static unavailable(code: string, title: string, detail: string, retryAfter = 1) {
    return make(503, code, title, detail, { headers: { "retry-after": String(retryAfter) } })
  }

  static internal(id: string) {
    return make(500, "internal", "The server failed", `The log has the details under the id ${id}.`, { id })
  }

  /** A status without a code of its own. */
  static ofStatus(status: number, title: string) {
    return make(status, `http-${status}`, title, undefined)
  }
}

const make = (status: number, code: string, title: string, detail: string | undefined, extra: Extra = {}) =>
  new Problem({ status, code, title, ...(detail === undefined ? {} : { detail }), ...extra })

const format = SchemaIssue.makeFormatterStandardSchemaV1({
  leafHook: (issue) => (issue._tag === "UnexpectedKey" ? "There is no such field" : SchemaIssue.defaultLeafHook(issue))
})

const segment = (part: PropertyKey | { readonly key: PropertyKey }): string | number => {
  const key = typeof part === "object" ? part.key : part
  return typeof key === "number" ? key : String(key)
}

/** A problem lists every mistake, unknown body fields included. Unknown query parameters are ignored: links accumulate them. */
export const strict = Context.make(HttpApi.ParamsParseOptions, { errors: "all" }).pipe(
  Context.add(HttpApi.QueryParseOptions, { errors: "all" }),
  Context.add(HttpApi.PayloadParseOptions, { errors: "all", onExcessProperty: "error" })
)
