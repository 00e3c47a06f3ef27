/** `spillway transcript ID`: prints a conversation's transcript, a page at a time. */
import { Console, Effect, Schema } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import { HttpClientRequest } from "effect/http"
import * as Client from "../Client.ts"
import * as Conversations from "../Conversations.ts"
import * as Flags from "../Flags.ts"
import * as Format from "../Format.ts"
import { Screen } from "../Screen.ts"
import * as Target from "../Target.ts"

const Page = Schema.Struct({
  segments: Schema.Array(Schema.Record(Schema.String, Schema.Json)),
  next: Schema.NullOr(Schema.String)
})

/** The largest page that a server returns. */
const pageSegments = 500

type Segment = (typeof Page.Type)["segments"][number]

const secondsOf = (value: Schema.Json | undefined, otherwise: number): number =>
  typeof value === "number" ? value : otherwise

const textOf = (value: Schema.Json | undefined): string =>
  typeof value === "string" ? value.trim().replaceAll(/\s+/g, " ") : ""

/** `SPEAKER_00: Good morning`. */
const spoken = ({ is_user, speaker, text }: Segment): string => {
  const name = is_user === true ? "You" : textOf(speaker)
  return name === "" ? textOf(text) : `${name}: ${textOf(text)}`
}

/** `01:02:03,450`, as SubRip writes times. */
const cueTime = (seconds: number): string => {
  const millis = Math.max(0, Math.round(seconds * 1_000))
  const two = (value: number) => String(Math.floor(value)).padStart(2, "0")
  const [hours, minutes, rest] = [millis / 3_600_000, (millis / 60_000) % 60, (millis / 1_000) % 60]
  return `${two(hours)}:${two(minutes)}:${two(rest)},${String(millis % 1_000).padStart(3, "0")}`
}

const formats = {
  text: (segment: Segment) => `${Format.clock(secondsOf(segment["start"], 0))}  ${spoken(segment)}`,
  json: (segment: Segment) => JSON.stringify(segment),
  srt: (segment: Segment, number: number) => {
    const start = secondsOf(segment["start"], 0)
    const end = Math.max(start, secondsOf(segment["end"], start))
    return `${number}\n${cueTime(start)} --> ${cueTime(end)}\n${spoken(segment)}\n`
  }
}

export const TranscriptCommand = Command.make(
  "transcript",
  {
    id: Argument.String("conversation").pipe(Argument.withDescription("Its id")),
    format: Flag.Literals("format", ["text", "json", "srt"]).pipe(
      Flag.withDescription("json: a segment with all of its fields on each line; srt: subtitles; default: text"),
      Flag.withDefault("text")
    ),
    uid: Flags.user,
    ...Flags.server
  },
  Effect.fnUntraced(function* ({ format, id, ...flags }) {
    const target = yield* Target.target(flags)
    let printed = 0
    let after: string | null | undefined
    while (after !== null) {
      const page: typeof Page.Type = yield* Client.json(
        target,
        HttpClientRequest.get(`${Conversations.path(id)}/transcript`, {
          urlParams: { limit: pageSegments, ...(after === undefined ? {} : { after }) }
        }),
        Page
      )
      const lines = page.segments.map((segment, index) => formats[format](segment, printed + index + 1))
      if (lines.length > 0) yield* Console.log(lines.join("\n"))
      printed += lines.length
      after = page.next
    }
    const { print } = yield* Screen
    if (printed === 0) yield* print(`The conversation ${id} has no transcript.`)
  })
).pipe(Command.withDescription("Print the transcript of a conversation"))
