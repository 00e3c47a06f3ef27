/** `spillway urls ID`: URLs that play a conversation's audio without a key. */
import { Console, Effect, Schema } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import { HttpClientRequest } from "effect/http"
import * as Client from "../Client.ts"
import * as Flags from "../Flags.ts"
import * as Format from "../Format.ts"
import { table } from "../Table.ts"
import * as Target from "../Target.ts"

const access = {
  status: Schema.String,
  reason: Schema.optionalKey(Schema.String),
  signed_url: Schema.optionalKey(Schema.String),
  content_type: Schema.optionalKey(Schema.String),
  duration: Schema.Finite
}

const AudioFile = Schema.Struct({
  id: Schema.String,
  ...access,
  artifact: Schema.optionalKey(Schema.Json),
  started_at: Schema.String
})

const Whole = Schema.Struct({
  ...access,
  captured_duration: Schema.Finite,
  spans: Schema.Array(Schema.Record(Schema.String, Schema.Json))
})

const Page = Schema.Struct({
  audio_files: Schema.Array(AudioFile),
  conversation_audio: Schema.optionalKey(Whole),
  files_next: Schema.optionalKey(Schema.String)
})

/** All audio files, the earliest first, read in pages; the conversation as a whole comes with the first page. */
const read = Effect.fnUntraced(function* (target: Target.Server, id: string, format: string) {
  const all: Array<typeof AudioFile.Type> = []
  let whole: typeof Whole.Type | undefined
  let before: string | undefined
  do {
    const page: typeof Page.Type = yield* Client.json(
      target,
      HttpClientRequest.get(`/v1/sync/audio/${encodeURIComponent(id)}/urls`, {
        urlParams: before === undefined ? { format } : { format, files_before: before }
      }),
      Page
    )
    all.unshift(...page.audio_files)
    whole ??= page.conversation_audio
    before = page.files_next
  } while (before !== undefined)
  return { audio_files: all, ...(whole === undefined ? {} : { conversation_audio: whole }) }
})

type Access = Pick<typeof AudioFile.Type, "signed_url" | "reason" | "status">

const urlOf = ({ reason, signed_url: url, status }: Access) =>
  url ?? `${status}${reason === undefined ? "" : `: ${reason}`}`

export const UrlsCommand = Command.make(
  "urls",
  {
    id: Argument.String("conversation").pipe(Argument.withDescription("Its id")),
    format: Flag.Literals("format", ["wav", "pcm", "ogg"]).pipe(
      Flag.withDescription("pcm: the samples without a header; ogg: Opus, an eighth of the bytes; default: wav"),
      Flag.withDefault("wav")
    ),
    json: Flag.Boolean("json").pipe(Flag.withDescription("Print them as JSON"), Flag.withDefault(false)),
    uid: Flags.user,
    ...Flags.server
  },
  Effect.fnUntraced(function* ({ format, id, json, ...flags }) {
    const found = yield* read(yield* Target.target(flags), id, format)
    if (json) return yield* Console.log(JSON.stringify(found, undefined, 2))
    const { audio_files: files, conversation_audio: whole } = found
    const rows = files.map((file) => [
      file.id,
      file.started_at.slice(0, 19).replace("T", " "),
      Format.clock(file.duration),
      urlOf(file)
    ])
    const all = whole === undefined ? [] : [["all", "", Format.clock(whole.duration), urlOf(whole)]]
    yield* Console.log(table(["AUDIO FILE", "STARTED (UTC)", "LENGTH", "URL"], [...rows, ...all]))
  })
).pipe(Command.withDescription("Print URLs that play a conversation's audio for an hour without a key"))
