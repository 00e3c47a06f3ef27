/** Retries with exponential backoff, or after the server's `Retry-After`. A try that makes progress resets their count. */
import { Duration, Effect, Random, Schema } from "effect"
import type { CliConfig } from "./CliConfig.ts"
import type { Unreachable } from "./Client.ts"
import { Screen } from "./Screen.ts"
import type { ErrorResponse } from "./ErrorResponse.ts"

/** The connection failed or ended, and a new one can work, not before `retryAfter`. */
export class Disconnected extends Schema.TaggedError<Disconnected>()("Disconnected", {
  reason: Schema.String,
  retryAfter: Schema.optionalKey(Schema.Duration)
}) {
  override get message() {
    return this.reason
  }

  /** Converts a transient refusal; a permanent one stays as it is. */
  static by(refusal: ErrorResponse): Disconnected | ErrorResponse {
    return refusal.isTransient ? new Disconnected({ reason: refusal.message, retryAfter: refusal.retryAfter }) : refusal
  }
}

/** No further tries. `reason` is that of the last one, `because` says why it was the last. */
export class GaveUp extends Schema.TaggedError<GaveUp>()("GaveUp", { reason: Schema.String, because: Schema.String }) {
  override get message() {
    return `${sentence(this.reason)} ${this.because}`.trim()
  }
}

const sentence = (text: string) => (text.endsWith(".") ? text : `${text}.`)

type Bounds = Pick<CliConfig["Service"], "tries" | "backoff" | "maxBackoff" | "maxRetryAfter">

const isDisconnected = (error: unknown): error is Disconnected => error instanceof Disconnected

/** Retries a short request while its failure is transient. Each try takes at most `patience`. */
export function retrying<A, R>(
  request: Effect.Effect<A, ErrorResponse | Unreachable, R>,
  config: CliConfig["Service"]
) {
  return reconnecting(
    request.pipe(
      Effect.catchTags({
        ErrorResponse: (refusal) => Effect.fail(Disconnected.by(refusal)),
        Unreachable: ({ message }) => new Disconnected({ reason: message })
      }),
      Effect.timeoutOrElse({
        duration: config.patience,
        orElse: () => new Disconnected({ reason: "The server does not answer" })
      })
    ),
    Effect.succeed(0),
    config
  )
}

/** `progress`: any number that grows as the work advances. */
export const reconnecting = Effect.fnUntraced(function* <A, E, R>(
  work: Effect.Effect<A, E | Disconnected, R>,
  progress: Effect.Effect<number>,
  { backoff, maxBackoff, maxRetryAfter, tries }: Bounds
) {
  const screen = yield* Screen
  const attempt = work.pipe(
    Effect.map((value) => ({ _tag: "Done", value }) as const),
    Effect.catchIf(isDisconnected, ({ reason, retryAfter = Duration.zero }) =>
      Effect.succeed({ _tag: "Broken", reason, retryAfter } as const)
    )
  )
  let failed = 0
  let reached = yield* progress
  while (true) {
    const outcome = yield* attempt
    if (outcome._tag === "Done") return outcome.value
    const now = yield* progress
    failed = now > reached ? 1 : failed + 1
    reached = now
    const { reason, retryAfter } = outcome
    if (failed > tries) {
      const because = tries === 0 ? "" : `Gave up after ${tries === 1 ? "1 try" : `${tries} tries`} without progress.`
      return yield* new GaveUp({ reason, because })
    }
    if (Duration.isGreaterThan(retryAfter, maxRetryAfter)) {
      return yield* new GaveUp({ reason, because: `The server asks to retry in ${Duration.format(retryAfter)}.` })
    }
    const pause = Math.min(Duration.toMillis(maxBackoff), Duration.toMillis(backoff) * 2 ** (failed - 1))
    const jittered = Math.round(pause * (0.8 + 0.4 * (yield* Random.next)))
    const wait = Duration.max(retryAfter, Duration.millis(jittered))
    yield* screen.print(`${sentence(reason)} Reconnecting in ${Duration.format(wait)} (${failed} of ${tries}).`)
    yield* Effect.sleep(wait)
  }
})
