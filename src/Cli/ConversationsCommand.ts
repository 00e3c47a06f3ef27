/** `spillway conversations`: lists the recordings of a user. */
import { Console, Effect } from "effect"
import { Command, Flag } from "effect/cli"
import * as Conversations from "./Conversations.ts"
import * as Flags from "./Flags.ts"
import { table } from "./Table.ts"
import * as Target from "./Target.ts"

const row = (c: Conversations.Conversation) => [
  c.id,
  c.started_at === null ? "" : Conversations.date(c.started_at),
  Conversations.clock(c.captured_duration),
  String(c.audio_files.length),
  [c.live ? "live" : "", c.lost_seconds > 0 ? `lost ${c.lost_seconds.toFixed(1)} s` : ""].filter(Boolean).join(", ")
]

export const ConversationsCommand = Command.make(
  "conversations",
  {
    limit: Flag.Int("limit").pipe(Flag.withDescription("How many, newest first"), Flag.withDefault(20)),
    ...Flags.server
  },
  Effect.fnUntraced(function* ({ limit, ...flags }) {
    const from = yield* Target.target(flags)
    const { conversations } = yield* Conversations.list(from, limit)
    yield* conversations.length === 0
      ? Console.log(`There are no conversations yet. To create one: ${Target.hint(from, "stream FILE.wav")}`)
      : Console.log(table(["CONVERSATION", "STARTED (UTC)", "LENGTH", "FILES", "STATE"], conversations.map(row)))
  })
).pipe(Command.withDescription("List the conversations of the key's user"))
