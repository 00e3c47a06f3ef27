/** What a server says when it refuses: its problem as a sentence, and when to come back. */
import { Duration, Option, Schema } from "effect"

const Said = Schema.fromJsonString(Schema.Struct({ title: Schema.String, detail: Schema.optional(Schema.String) }))
const decode = Schema.decodeUnknownOption(Said)

const sentencesOf = (body: string): string =>
  Option.match(decode(body), {
    onNone: () => "no reason given",
    onSome: ({ detail, title }) => (detail === undefined ? title : `${title}. ${detail}`)
  })

/** The server answered with an error. `retryAfter`: not sooner than in this time. */
export class ServerSaid extends Schema.TaggedError<ServerSaid>()("ServerSaid", {
  status: Schema.Int,
  said: Schema.String,
  retryAfter: Schema.Duration
}) {
  override get message() {
    return this.status === 401
      ? "The server does not accept the key (401). Give a valid one with --key or SPILLWAY_KEY."
      : `The server answers ${this.status}: ${this.said}`
  }

  /** The same may work later. */
  get mayPass(): boolean {
    return this.status === 429 || this.status >= 500
  }

  /** `body` as it came, whole or cut; of the header `Retry-After`, seconds are understood. */
  static of(status: number, body: string, retryAfter: string | undefined): ServerSaid {
    const seconds = /^\d{1,9}$/.test(retryAfter ?? "") ? Number(retryAfter) : 0
    return new ServerSaid({ status, said: sentencesOf(body), retryAfter: Duration.seconds(seconds) })
  }
}
