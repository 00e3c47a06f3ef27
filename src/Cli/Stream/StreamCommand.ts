/** `spillway stream FILE.wav`, or `-` for standard input. */
import { randomUUID } from "node:crypto"
import { Console, DateTime, Effect, Option, Redacted, Schedule } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import { CliConfig } from "../CliConfig.ts"
import * as Conversations from "../Conversations.ts"
import * as Flags from "../Flags.ts"
import * as Reconnect from "../Reconnect.ts"
import { Screen } from "../Screen.ts"
import { ErrorResponse } from "../ErrorResponse.ts"
import * as Target from "../Target.ts"
import * as Upload from "./Upload.ts"
import * as Wav from "./Wav.ts"

/** A stream key captures and does nothing else: the conversation can't be read with it. */
const streamKeyPrefix = "spw_live_"

/** The grace of broadcasts is that of the server. */
const graceHint = "The broadcast ends in 30 seconds, unless a capture continues it. The studio ends it at once."

/** The conversation appears shortly after the socket closes: retries for about 2 s. */
const listed = Schedule.max([Schedule.spaced("200 millis"), Schedule.recurs(10)])

const playback = Effect.fnUntraced(function* (to: Target.Target, id: string) {
  const found = yield* Conversations.get(to, id).pipe(
    Effect.filterOrElse(
      ({ audio_files }) => audio_files.length > 0,
      () => Effect.fail("not listed yet")
    ),
    Effect.retry(listed),
    Effect.option
  )
  const files = Option.match(found, { onNone: () => [], onSome: ({ audio_files }) => audio_files })
  const paths = files.map((file) => Conversations.audioPath(id, file.id))
  const [first] = paths
  yield* Console.log(`conversation ${id}`)
  for (const path of paths) yield* Console.log(`playback     ${to.url}${path}`)
  if (first === undefined) return
  yield* Console.log(`fetch it     ${Target.hint(to, `fetch ${id} -o out.wav`)}`)
  yield* Console.log(`or           ${Target.curl(to, first)} -o out.wav`)
})

/** Unix seconds at the end of a conversation's audio, 0 for a new one. After a fast upload it can lie in the future. */
const endOf = Effect.fnUntraced(function* (to: Target.Target, id: string) {
  const get = Reconnect.retrying(Conversations.get(to, id), yield* CliConfig)
  return yield* get.pipe(
    Effect.map(({ audio_files }) =>
      audio_files.reduce(
        (end, file) => Math.max(end, DateTime.toEpochMillis(file.started_at) / 1000 + file.duration),
        0
      )
    ),
    // The server rounds times to milliseconds.
    Effect.map((end) => (end === 0 ? 0 : end + 0.001)),
    Effect.catchIf(isNew, () => Effect.succeed(0))
  )
})

const isNew = (error: unknown) => error instanceof ErrorResponse && error.status === 404

/** Truncated files are sent up to the cut, with a warning. */
const warnOfCut = Effect.fnUntraced(function* (file: string, { sampleRate }: Wav.Wav, extent: Wav.Extent | undefined) {
  const { missing, samples } = extent ?? { missing: 0, samples: 0 }
  if (missing === 0) return
  const seconds = (samples: number) => `${(samples / sampleRate).toFixed(1)} s`
  const [lost, all] = [seconds(missing), seconds(samples + missing)]
  yield* (yield* Screen).print(`${file} is truncated: ${lost} of ${all} are missing. Sending the rest.`)
})

const warnOfUnfinished = (file: string, { isUnfinished }: Wav.Wav) =>
  isUnfinished
    ? Effect.flatMap(Screen, (screen) =>
        screen.print(`The header of ${file} was never finished. All that follows it is sent.`)
      )
    : Effect.void

const warnOfMix = (file: string, { channels }: Wav.Wav) =>
  channels > 1
    ? Effect.flatMap(Screen, (screen) => screen.print(`The ${channels} channels of ${file} are mixed to one.`))
    : Effect.void

export const StreamCommand = Command.make(
  "stream",
  {
    file: Argument.String("file.wav").pipe(
      Argument.withDescription("16-bit PCM, 8000 to 48000 Hz; - for standard input")
    ),
    fast: Flag.Boolean("fast").pipe(
      Flag.withDescription("As fast as the server acknowledges, instead of at the pace of speech"),
      Flag.withDefault(false)
    ),
    realtime: Flag.Boolean("realtime").pipe(
      Flag.withDescription("At the pace of speech (the default)"),
      Flag.withDefault(false)
    ),
    conversation: Flag.String("conversation").pipe(
      Flag.withDescription("Its id; a new one by default"),
      Flag.withMetavar("ID"),
      Flag.optional
    ),
    ...Flags.server,
    key: Flags.server.key.pipe(
      Flag.withDescription(
        "Access key, or the stream key of a stream, which goes live; default: SPILLWAY_KEY, then this machine's admin key"
      )
    )
  },
  Effect.fnUntraced(function* ({ conversation, fast, file, realtime, ...flags }) {
    const to = yield* Target.target(flags)
    const wav = yield* Wav.open(file)
    const known = wav.extent()
    yield* warnOfUnfinished(file, wav)
    yield* warnOfMix(file, wav)
    yield* warnOfCut(file, wav, known)
    const id = Option.getOrElse(conversation, () => randomUUID())
    if (Option.isNone(conversation)) yield* (yield* Screen).print(`Sending it as the conversation ${id}`)
    const isBroadcast = Redacted.value(to.key).startsWith(streamKeyPrefix)
    const notBefore = Option.isSome(conversation) && !isBroadcast ? yield* endOf(to, id) : 0
    const job = { wav, conversation: id, ...to, realtime: realtime || !fast, notBefore }
    const { seconds, unstoredSeconds } = yield* Upload.run(job)
    if (known === undefined) yield* warnOfCut(file, wav, wav.extent())
    if (unstoredSeconds > 0 && !isBroadcast) {
      const what = `${unstoredSeconds.toFixed(1)} s of ${file} are not stored`
      return yield* new Upload.StreamFailed({ reason: `${what}: the user's setting store_audio says so` })
    }
    yield* (yield* Screen).result(
      `${unstoredSeconds > 0 ? "sent" : "acknowledged"} ${seconds.toFixed(1)} s, all of ${file}`
    )
    if (isBroadcast) yield* (yield* Screen).print(graceHint)
    else yield* playback(to, id)
  }, Effect.scoped)
).pipe(Command.withDescription("Send a WAV file as live audio, until the server has acknowledged all of it"))
