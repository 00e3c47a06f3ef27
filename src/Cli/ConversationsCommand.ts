/** `spillway conversations`: lists the recordings of a user. */
import { Console, Effect } from "effect"
import { Command, Flag } from "effect/cli"
import * as Conversations from "./Conversations.ts"
import * as Flags from "./Flags.ts"
import { Screen } from "./Screen.ts"
import { table } from "./Table.ts"
import * as Target from "./Target.ts"
import * as Format from "./Format.ts"

/** The server lists only the latest audio files. */
const hasMoreFiles = ({ files_next: next }: Conversations.Conversation) => next !== null && next !== undefined

const row = (c: Conversations.Conversation) => [
  c.id,
  c.started_at === null ? "" : Format.date(c.started_at),
  Format.clock(c.captured_duration),
  `${c.audio_files.length}${hasMoreFiles(c) ? "+" : ""}`,
  [c.live ? "live" : "", c.lost_seconds > 0 ? `lost ${c.lost_seconds.toFixed(1)} s` : ""].filter(Boolean).join(", ")
]

export const ConversationsCommand = Command.make(
  "conversations",
  {
    limit: Flag.Int("limit").pipe(
      Flag.withDescription("How many, newest first; default: 20"),
      Flag.withMetavar("N"),
      Flag.withDefault(20),
      Flag.filter(
        (limit) => limit > 0,
        (limit) => `--limit ${limit}: expected 1 or more`
      )
    ),
    uid: Flags.user,
    ...Flags.server
  },
  Effect.fnUntraced(function* ({ limit, ...flags }) {
    const from = yield* Target.target(flags)
    const { conversations, hasMore } = yield* Conversations.list(from, limit)
    yield* conversations.length === 0
      ? Console.log(
          from.uid === undefined
            ? `There are no conversations yet. To create one: ${Target.hint(from, "stream FILE.wav")}`
            : `The user ${from.uid} has no conversations.`
        )
      : Console.log(table(["CONVERSATION", "STARTED (UTC)", "LENGTH", "FILES", "STATE"], conversations.map(row)))
    const { print } = yield* Screen
    if (conversations.some(hasMoreFiles))
      yield* print(`A + marks more audio files than are counted here. To get all: ${Target.hint(from, "fetch ID")}`)
    if (hasMore)
      yield* print(
        `There are older conversations. To see more: ${Target.hint(from, `conversations --limit ${limit * 5}`)}`
      )
  })
).pipe(Command.withDescription("List the conversations of a user"))
