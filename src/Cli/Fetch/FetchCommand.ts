/** `spillway fetch ID -o out.wav`: downloads a conversation's audio files. */
import { Effect, Option, Schema } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import { CliConfig } from "../CliConfig.ts"
import * as Conversations from "../Conversations.ts"
import * as Destination from "./Destination.ts"
import * as Download from "./Download.ts"
import * as Flags from "../Flags.ts"
import * as Reconnect from "../Reconnect.ts"
import { Screen } from "../Screen.ts"
import * as Target from "../Target.ts"
import * as Format from "../Format.ts"

export class NoAudio extends Schema.TaggedError<NoAudio>()("NoAudio", {
  conversation: Schema.String,
  files: Schema.Int
}) {
  override get message() {
    return this.files === 0
      ? `${this.conversation} has no audio.`
      : this.files === 1
        ? `${this.conversation} has 1 audio file: --file takes 1.`
        : `${this.conversation} has ${this.files} audio files: --file takes 1 to ${this.files}.`
  }
}

/** Standard output can hold one file only. */
export class ManyFiles extends Schema.TaggedError<ManyFiles>()("ManyFiles", {
  conversation: Schema.String,
  files: Schema.Int
}) {
  override get message() {
    return `${this.conversation} has ${this.files} audio files: choose one for standard output with --file 1 to ${this.files}.`
  }
}

/** `out.wav` → `out-002.wav` of 400, so that names sort by start. */
export function numbered(name: string, number: number, of: number): string {
  const padded = String(number).padStart(String(of).length, "0")
  return /\.[^./]+$/.test(name) ? name.replace(/(\.[^./]+)$/, `-${padded}$1`) : `${name}-${padded}`
}

/** Up to this many audio files get a line each; more get one line with their sum. */
const maxLines = 10

export const FetchCommand = Command.make(
  "fetch",
  {
    id: Argument.String("conversation").pipe(Argument.withDescription("Its id")),
    output: Flag.String("output").pipe(
      Flag.withAlias("o"),
      Flag.withDescription(
        "File to write, - for standard output; default: out.wav or out.ogg. Several audio files become out-1.wav, out-2.wav, … with leading zeros"
      ),
      Flag.withMetavar("FILE"),
      Flag.optional
    ),
    format: Flag.Literals("format", ["wav", "ogg"]).pipe(
      Flag.withDescription("ogg is Opus, an eighth of the bytes; default: wav"),
      Flag.withDefault("wav")
    ),
    file: Flag.Int("file").pipe(
      Flag.withDescription("Only this one of several audio files, from 1"),
      Flag.withMetavar("N"),
      Flag.optional
    ),
    uid: Flags.user,
    ...Flags.server
  },
  Effect.fnUntraced(function* ({ file, format, id, output: name, ...flags }) {
    const output = Option.getOrElse(name, () => `out.${format}`)
    const from = yield* Target.target(flags)
    const files = yield* Reconnect.retrying(Conversations.files(from, id), yield* CliConfig)
    const wanted = files
      .map((each, index) => ({ each, number: index + 1 }))
      .filter(({ number }) => Option.isNone(file) || file.value === number)
    if (wanted.length === 0) return yield* new NoAudio({ conversation: id, files: files.length })
    const piped = output === "-"
    if (piped && wanted.length > 1) return yield* new ManyFiles({ conversation: id, files: files.length })
    const screen = yield* Screen
    const print = piped ? screen.print : screen.result
    const nameOf = (number: number) => (wanted.length > 1 ? numbered(output, number, wanted.length) : output)
    let sum = 0
    for (const { each, number } of wanted) {
      const download = Effect.gen(function* () {
        const to = yield* piped ? Destination.standardOutput : Destination.file(nameOf(number))
        const bytes = yield* Download.run({
          target: from,
          path: Conversations.audioPath(id, each.id),
          query: { format },
          to,
          seconds: each.duration,
          part: { number: wanted.length > 1 ? number : 1, of: wanted.length }
        })
        sum += bytes
        if (wanted.length <= maxLines) yield* print(`${to.name}  ${Format.clock(each.duration)}  ${bytes} bytes`)
      })
      yield* Effect.scoped(download)
    }
    if (wanted.length > maxLines) {
      const clock = Format.clock(wanted.reduce((seconds, { each }) => seconds + each.duration, 0))
      yield* print(`${nameOf(1)} to ${nameOf(wanted.length)}  ${clock}  ${sum} bytes`)
    }
  })
).pipe(Command.withDescription("Download a conversation's audio files as WAV or Ogg"))
