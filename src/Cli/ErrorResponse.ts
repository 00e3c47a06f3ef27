/** An error response of the server: its problem (RFC 9457) as a sentence, and when to retry. */
import { Duration, Option, Schema } from "effect"

const Problem = Schema.fromJsonString(
  Schema.Struct({
    type: Schema.optional(Schema.String),
    title: Schema.String,
    detail: Schema.optional(Schema.String)
  })
)
const decode = Schema.decodeUnknownOption(Problem)

const sentencesOf = ({ detail, title }: typeof Problem.Type): string =>
  detail === undefined ? title : `${title}. ${detail}`

/** Request timeout, too early, too many requests (RFC 9110, 8470, 6585). */
const transient = [408, 425, 429]

/** The one 5xx that is permanent. */
const unreadable = "urn:spillway:problem:audio-unreadable"

/** `retryAfter`: shortest time until a retry. */
export class ErrorResponse extends Schema.TaggedError<ErrorResponse>()("ErrorResponse", {
  status: Schema.Int,
  detail: Schema.String,
  /** The problem's `type`; undefined for any other body. */
  type: Schema.optional(Schema.String),
  retryAfter: Schema.Duration
}) {
  override get message() {
    return this.status === 401
      ? "The server does not accept the key (401). Give a valid one with --key or SPILLWAY_KEY."
      : `The server answers ${this.status}: ${this.detail}`
  }

  /** The same request can succeed later. */
  get isTransient(): boolean {
    return transient.includes(this.status) || (this.status >= 500 && this.type !== unreadable)
  }

  /** `body` can be truncated. `Retry-After` is understood in seconds only. */
  static of(status: number, body: string, retryAfter: string | undefined): ErrorResponse {
    const seconds = /^\d{1,9}$/.test(retryAfter ?? "") ? Number(retryAfter) : 0
    const problem = Option.getOrElse(decode(body), () => ({ type: undefined, title: "no reason given" }))
    const detail = sentencesOf(problem)
    return new ErrorResponse({ status, detail, type: problem.type, retryAfter: Duration.seconds(seconds) })
  }
}
