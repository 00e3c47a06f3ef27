/** What a server says when it refuses: its problem as a sentence, and when to come back. */
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

/** A proxy's timeout, a request sent too early after a restart, and too many requests (RFC 9110, 8470, 6585). */
const transient = [408, 425, 429]

/** The one 5xx that no repetition mends. */
const unreadable = "urn:spillway:problem:audio-unreadable"

/** The server answered with an error. `retryAfter`: not sooner than in this time. */
export class ServerSaid extends Schema.TaggedError<ServerSaid>()("ServerSaid", {
  status: Schema.Int,
  said: Schema.String,
  /** Of the problem, if it was one. */
  type: Schema.optional(Schema.String),
  retryAfter: Schema.Duration
}) {
  override get message() {
    return this.status === 401
      ? "The server does not accept the key (401). Give a valid one with --key or SPILLWAY_KEY."
      : `The server answers ${this.status}: ${this.said}`
  }

  /** The same request may succeed later. */
  get isTransient(): boolean {
    return transient.includes(this.status) || (this.status >= 500 && this.type !== unreadable)
  }

  /** `body` as it came, whole or cut; of the header `Retry-After`, seconds are understood. */
  static of(status: number, body: string, retryAfter: string | undefined): ServerSaid {
    const seconds = /^\d{1,9}$/.test(retryAfter ?? "") ? Number(retryAfter) : 0
    const problem = Option.getOrElse(decode(body), () => ({ type: undefined, title: "no reason given" }))
    const said = sentencesOf(problem)
    return new ServerSaid({ status, said, type: problem.type, retryAfter: Duration.seconds(seconds) })
  }
}
