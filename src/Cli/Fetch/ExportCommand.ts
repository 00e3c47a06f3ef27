/** `spillway export ID`: downloads a conversation, or a part of it, as one file. */
import { Effect, Option } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import * as Conversations from "../Conversations.ts"
import * as Flags from "../Flags.ts"
import { Screen } from "../Screen.ts"
import * as Target from "../Target.ts"
import * as Destination from "./Destination.ts"
import * as Download from "./Download.ts"

const time = (name: string, description: string) =>
  Flag.String(name).pipe(
    Flag.withDescription(`${description}: RFC 3339 or Unix seconds, such as 2030-01-31T09:30:00Z`),
    Flag.withMetavar("TIME"),
    Flag.optional
  )

export const ExportCommand = Command.make(
  "export",
  {
    id: Argument.String("conversation").pipe(Argument.withDescription("Its id")),
    from: time("from", "Only audio from this time on"),
    to: time("to", "Only audio before this time"),
    format: Flag.Literals("format", ["wav", "ogg", "zip"]).pipe(
      Flag.withDescription(
        "wav or ogg (Opus): one file; zip: one WAV for each audio file, and a manifest; default: wav"
      ),
      Flag.withDefault("wav")
    ),
    output: Flag.String("output").pipe(
      Flag.withAlias("o"),
      Flag.withDescription("File to write, - for standard output; default: CONVERSATION.wav, .ogg or .zip"),
      Flag.withMetavar("FILE"),
      Flag.optional
    ),
    uid: Flags.user,
    ...Flags.server
  },
  Effect.fnUntraced(function* ({ format, from, id, output, to, ...flags }) {
    const target = yield* Target.target(flags)
    const name = Option.getOrElse(output, () => `${id}.${format}`)
    const piped = name === "-"
    const { print, result } = yield* Screen
    const destination = yield* piped ? Destination.standardOutput : Destination.file(name)
    const query = {
      format,
      ...Option.match(from, { onNone: () => ({}), onSome: (from) => ({ from }) }),
      ...Option.match(to, { onNone: () => ({}), onSome: (to) => ({ to }) })
    }
    const bytes = yield* Download.run({ target, path: `${Conversations.path(id)}/export`, query, to: destination })
    yield* (piped ? print : result)(`${destination.name}  ${bytes} bytes`)
  }, Effect.scoped)
).pipe(Command.withDescription("Download a conversation, or a part of it, as one file"))
