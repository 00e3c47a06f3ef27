/** Tries again what broke, for as long as it gets further: pauses double, and tries without progress are counted. */
import { Duration, Effect, Random, Schema } from "effect"
import type { CliConfig } from "./CliConfig.ts"
import { Disconnected } from "./Connection.ts"
import { Screen } from "./Screen.ts"

export class GaveUp extends Schema.TaggedError<GaveUp>()("GaveUp", { tries: Schema.Int, reason: Schema.String }) {
  override get message() {
    return this.tries === 0 ? `${this.reason}.` : `${this.reason}. Gave up after ${this.tries} tries without progress.`
  }
}

type Bounds = Pick<CliConfig["Service"], "tries" | "backoff" | "maxBackoff">

const isDisconnected = (error: unknown): error is Disconnected => error instanceof Disconnected

/** `progress` is any number that grows as the work advances. */
export const reconnecting = Effect.fnUntraced(function* <A, E, R>(
  work: Effect.Effect<A, E | Disconnected, R>,
  progress: Effect.Effect<number>,
  { backoff, maxBackoff, tries }: Bounds
) {
  const screen = yield* Screen
  const attempt = work.pipe(
    Effect.map((value) => ({ _tag: "Done", value }) as const),
    Effect.catchIf(isDisconnected, ({ reason }) => Effect.succeed({ _tag: "Broken", reason } as const))
  )
  let failed = 0
  let reached = yield* progress
  while (true) {
    const outcome = yield* attempt
    if (outcome._tag === "Done") return outcome.value
    const now = yield* progress
    failed = now > reached ? 1 : failed + 1
    reached = now
    if (failed > tries) return yield* new GaveUp({ tries, reason: outcome.reason })
    const pause = Math.min(Duration.toMillis(maxBackoff), Duration.toMillis(backoff) * 2 ** (failed - 1))
    const jittered = Duration.millis(Math.round(pause * (0.8 + 0.4 * (yield* Random.next))))
    yield* screen.say(`${outcome.reason}. Reconnecting in ${Duration.format(jittered)} (${failed} of ${tries}).`)
    yield* Effect.sleep(jittered)
  }
})
