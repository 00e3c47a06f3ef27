/** `spillway fetch ID -o out.wav` */
import { Console, Effect, Option, Schema } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import * as Conversations from "./Conversations.ts"
import { Download } from "./Download.ts"
import * as Flags from "./Flags.ts"
import * as Target from "./Target.ts"

/** The conversation has no such audio file. */
export class NoAudio extends Schema.TaggedError<NoAudio>()("NoAudio", {
  conversation: Schema.String,
  files: Schema.Int
}) {
  override get message() {
    return this.files === 0
      ? `${this.conversation} has no audio.`
      : `${this.conversation} has ${this.files} audio files: --file takes 1 to ${this.files}.`
  }
}

/** `out.wav` → `out-2.wav` */
export const numbered = (name: string, number: number): string =>
  /\.[^./]+$/.test(name) ? name.replace(/(\.[^./]+)$/, `-${number}$1`) : `${name}-${number}`

export const FetchCommand = Command.make(
  "fetch",
  {
    id: Argument.String("conversation"),
    output: Flag.String("output").pipe(
      Flag.withAlias("o"),
      Flag.withDescription("File to write; several audio files become out-1.wav, out-2.wav, …"),
      Flag.withMetavar("FILE"),
      Flag.withDefault("out.wav")
    ),
    file: Flag.Int("file").pipe(
      Flag.withDescription("Only this one of several audio files, from 1"),
      Flag.withMetavar("N"),
      Flag.optional
    ),
    ...Flags.server
  },
  Effect.fnUntraced(function* ({ file, id, output, ...flags }) {
    const from = yield* Target.target(flags)
    const { audio_files: files } = yield* Conversations.get(from, id)
    const wanted = files
      .map((each, index) => ({ each, number: index + 1 }))
      .filter(({ number }) => Option.isNone(file) || file.value === number)
    if (wanted.length === 0) return yield* new NoAudio({ conversation: id, files: files.length })
    for (const { each, number } of wanted) {
      const to = wanted.length > 1 ? numbered(output, number) : output
      const bytes = yield* Download.run({ target: from, path: Conversations.audioPath(id, each.id), to })
      yield* Console.log(`${to}  ${Conversations.clock(each.duration)}  ${bytes} bytes`)
    }
  })
).pipe(Command.withDescription("Download a conversation's audio as WAV"))
