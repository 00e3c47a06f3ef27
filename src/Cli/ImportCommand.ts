/** `spillway import --uid UID` */
import { Console, Effect, Option, Schema } from "effect"
import { Command, Flag } from "effect/cli"
import { Id } from "../Id.ts"
import { Import } from "../Recording.ts"
import { Screen } from "./Screen.ts"

/** Some objects are left out; which ones was printed. */
export class ImportIncomplete extends Schema.TaggedError<ImportIncomplete>()("ImportIncomplete", {
  uid: Schema.String,
  skipped: Schema.Int
}) {
  override get message() {
    return `${this.skipped} objects of ${this.uid} could not be used.`
  }
}

const run = Effect.fnUntraced(function* (uid: string, sampleRate: number) {
  const { page } = yield* Import
  const screen = yield* Screen
  const total = { added: 0, known: 0, odd: 0, skipped: 0 }
  let after = Option.some("")
  while (Option.isSome(after)) {
    const { added, known, next, odd, skipped } = yield* page(uid, { after: after.value, sampleRate })
    total.added += added
    total.known += known
    total.odd += odd
    total.skipped += skipped.length
    for (const { key, reason } of skipped) yield* Console.error(`skipped ${key}: ${reason}`)
    after = next
    yield* screen.say(`${total.added + total.known + total.skipped} objects, ${total.added} new`)
  }
  return total
})

export const ImportCommand = Command.make(
  "import",
  {
    uid: Flag.String("uid").pipe(
      Flag.withSchema(Id),
      Flag.withDescription("The user whose recordings are in the store"),
      Flag.withMetavar("UID")
    ),
    sampleRate: Flag.Int("sample-rate").pipe(
      Flag.withSchema(Schema.Int.check(Schema.isBetween({ minimum: 8_000, maximum: 48_000 }))),
      Flag.withDescription("Of recordings that do not tell it"),
      Flag.withMetavar("HZ"),
      Flag.withDefault(16_000)
    )
  },
  Effect.fnUntraced(function* ({ sampleRate, uid }) {
    const { added, known, odd, skipped } = yield* run(uid, sampleRate)
    yield* Console.log(
      `${added} chunks imported, ${known} were known, ${odd} have an odd last byte that is not heard, ${skipped} skipped`
    )
    if (skipped > 0) return yield* new ImportIncomplete({ uid, skipped })
  })
).pipe(
  Command.withDescription(
    "Index recordings that are in this node's store already, so that they play; nothing is copied, and doing it again changes nothing"
  )
)
