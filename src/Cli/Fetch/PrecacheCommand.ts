/** `spillway precache ID`: has a conversation's audio files merged in the store. */
import { Effect, Schema } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import { HttpClientRequest } from "effect/http"
import { CliConfig } from "../CliConfig.ts"
import * as Client from "../Client.ts"
import * as Conversations from "../Conversations.ts"
import * as Flags from "../Flags.ts"
import * as Reconnect from "../Reconnect.ts"
import { Screen } from "../Screen.ts"
import * as Target from "../Target.ts"
import { NoAudio } from "./FetchCommand.ts"

const Started = Schema.Struct({
  status: Schema.Literals(["started", "no_audio"]),
  audio_file_count: Schema.optionalKey(Schema.Int)
})

const AudioFile = Schema.Struct({
  id: Schema.String,
  artifact: Schema.optionalKey(Schema.Struct({ state: Schema.String, reason: Schema.optionalKey(Schema.String) }))
})
type AudioFile = typeof AudioFile.Type

const Page = Schema.Struct({ audio_files: Schema.Array(AudioFile) })

/** How often the states are read. */
const pollEvery = "500 millis"

/** Lines about files that were not merged; their number is printed too. */
const maxLines = 10

const reasons: Readonly<Record<string, string>> = {
  chunks_missing: "audio is missing in the store; the server tries again",
  merge_failed: "the server's log has the reason; it tries again",
  empty_audio: "all of its audio was lost"
}

const reasonOf = ({ artifact }: AudioFile): string =>
  artifact === undefined
    ? "it is encrypted, or has changed meanwhile"
    : (reasons[artifact.reason ?? ""] ?? artifact.reason ?? artifact.state)

export class NotMerged extends Schema.TaggedError<NotMerged>()("NotMerged", {
  conversation: Schema.String,
  files: Schema.Int,
  of: Schema.Int
}) {
  override get message() {
    return `${this.files} of ${this.of} audio files of ${this.conversation} were not merged.`
  }
}

const filesOf = (number: number) => (number === 1 ? "1 audio file" : `${number} audio files`)

export const PrecacheCommand = Command.make(
  "precache",
  {
    id: Argument.String("conversation").pipe(Argument.withDescription("Its id")),
    format: Flag.Literals("format", ["wav", "ogg"]).pipe(
      Flag.withDescription("wav, or ogg for Opus in Ogg; default: wav"),
      Flag.withDefault("wav")
    ),
    wait: Flag.Boolean("wait").pipe(
      Flag.withDescription("Wait until each audio file is merged, or its merge has failed"),
      Flag.withDefault(false)
    ),
    uid: Flags.user,
    ...Flags.server
  },
  Effect.fnUntraced(function* ({ format, id, wait, ...flags }) {
    const target = yield* Target.target(flags)
    const config = yield* CliConfig
    const { print, progress, result } = yield* Screen
    const request = HttpClientRequest.post(Conversations.audioPath(id, "precache"), { urlParams: { format } })
    const { audio_file_count: count = 0, status } = yield* Reconnect.retrying(
      Client.json(target, request, Started),
      config
    )
    if (status === "no_audio") return yield* new NoAudio({ conversation: id, files: 0 })
    if (!wait) return yield* result(`${filesOf(count)} merged or being merged`)

    /** The latest audio files, which are those that the server merges. */
    const listed = HttpClientRequest.get(Conversations.audioPath(id, "urls"), { urlParams: { format } })
    const read = Reconnect.retrying(Client.json(target, listed, Page), config)
    let { audio_files: files } = yield* read
    const inState = (state: string | undefined) => files.filter(({ artifact }) => artifact?.state === state)
    while (inState("merging").length > 0) {
      const done = files.length - inState("merging").length
      yield* progress(done / files.length, `${done} of ${filesOf(files.length)}`)
      yield* Effect.sleep(pollEvery)
      files = (yield* read).audio_files
    }
    const merged = inState("merged")
    const others = files.filter((file) => !merged.includes(file))
    for (const file of others.slice(0, maxLines)) yield* print(`${file.id}  not merged: ${reasonOf(file)}`)
    if (others.length > 0) return yield* new NotMerged({ conversation: id, files: others.length, of: files.length })
    yield* result(`${filesOf(merged.length)} merged`)
  })
).pipe(Command.withDescription("Have a conversation's audio files merged in the store"))
