/** `spillway import [--bucket BUCKET] --uid UID` */
import { Clock, Console, Effect, Option, Schema } from "effect"
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

/** A line of progress is printed no more often. */
const progressMillis = 2_000

/** Keys that the summary names for each reason; all of them were printed when they were met. */
const namedKeys = 5

interface Left {
  count: number
  readonly keys: Array<string>
}

interface Options {
  readonly sampleRate: number
  readonly waveforms: boolean
}

const run = Effect.fnUntraced(function* (uid: string, options: Options) {
  const { page } = yield* Import
  const screen = yield* Screen
  const total = { added: 0, known: 0, odd: 0, undrawn: 0, skipped: 0 }
  const left = new Map<string, Left>()
  let told = yield* Clock.currentTimeMillis
  let after = Option.some("")
  while (Option.isSome(after)) {
    const { added, known, next, odd, skipped, undrawn } = yield* page(uid, { after: after.value, ...options })
    total.added += added
    total.known += known
    total.odd += odd
    total.undrawn += undrawn
    total.skipped += skipped.length
    for (const { key, reason, why } of skipped) {
      const those = left.get(why) ?? { count: 0, keys: [] }
      left.set(why, those)
      those.count++
      if (those.keys.length < namedKeys) those.keys.push(key)
      yield* Console.error(`skipped ${key}: ${reason}`)
    }
    const now = yield* Clock.currentTimeMillis
    if (Option.isSome(next) && now - told >= progressMillis) {
      told = now
      const objects = total.added + total.known + total.skipped
      yield* screen.say(`${objects} objects up to ${next.value}: ${total.added} new, ${total.skipped} skipped`)
    }
    after = next
  }
  return { ...total, left }
})

const summary = ({ added, known, left, odd, skipped, undrawn }: Effect.Success<ReturnType<typeof run>>) => [
  `${added} chunks imported, ${known} were known, ${odd} have an odd last byte that is not heard, ${skipped} skipped`,
  ...[...left].map(([why, { count, keys }]) => {
    const more = count > keys.length ? ` and ${count - keys.length} more` : ""
    return `  ${count} ${why}: ${keys.join(", ")}${more}`
  }),
  ...(undrawn > 0 ? [`${undrawn} have no waveform yet; with --waveforms it is made, and all of their audio read`] : [])
]

export const ImportCommand = Command.make(
  "import",
  {
    bucket: Flag.String("bucket").pipe(
      Flag.withDescription("The bucket that has them; else SPILLWAY_BUCKET, else this node's directory"),
      Flag.withMetavar("BUCKET"),
      Flag.optional
    ),
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
    ),
    waveforms: Flag.Boolean("waveforms").pipe(
      Flag.withDefault(false),
      Flag.withDescription("Read all audio that has no waveform yet, also what was imported before, and make it")
    )
  },
  Effect.fnUntraced(function* ({ bucket, uid, ...options }) {
    const imported = yield* run(uid, options)
    yield* Effect.forEach(summary(imported), (line) => Console.log(line))
    if (Option.isSome(bucket) && imported.added > 0)
      yield* Console.log(`A server with SPILLWAY_BUCKET=${bucket.value} plays them.`)
    const { skipped } = imported
    if (skipped > 0) return yield* new ImportIncomplete({ uid, skipped })
  })
).pipe(
  Command.withDescription(
    "Index recordings that are in the store already, so that they play; nothing is copied, and doing it again finds what is new"
  )
)
