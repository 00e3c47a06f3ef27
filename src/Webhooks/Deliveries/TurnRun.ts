/** Delivers the batch of one turn, with as many requests at once as the endpoint has shown to answer. */
import { Clock, Duration, Effect, Metric, Result, Semaphore } from "effect"
import { SecureRandom } from "effect/crypto"
import * as DurationHistogram from "../../DurationHistogram.ts"
import * as Events from "../../Events.ts"
import { maxOpenPerHost } from "../Connections.ts"
import { type Credentials, type DisabledReason, makeCredentials } from "../Endpoints/Endpoint.ts"
import * as Ids from "../Ids.ts"
import type { Completions } from "./Completions.ts"
import { Disabling, testEvent } from "./Disabling.ts"
import * as Sender from "./Sender.ts"
import { type Post, WebhookClient } from "../WebhookClient.ts"
import type { DueDelivery, Turn } from "./TurnRows.ts"

/** No request begins later in a turn; the rest of the batch waits for the next one. */
const slice = Duration.seconds(10)

/** After this many failures in a row the turn ends, and the endpoint has none for a while. */
const failuresToPause = 5
const pause = Duration.seconds(30)

/** After this many failures in a row, or with failures alone for this time, an endpoint is disabled. */
const failuresToDisable = 100
const failingLimit = Duration.days(3)

/** Pause of an endpoint whose secret can't be decrypted. */
const unreadablePause = Duration.minutes(5)

/** After waiting for a busy host for this time, the turn ends, and the endpoint has none for as long. */
const busyLimit = Duration.seconds(1)

const attemptsTotal = Metric.counter("spillway_webhook_attempts_total", {
  description:
    "Attempts to deliver an event by outcome: delivered, retried (with backoff), dead (given up), expired (stale or erased: not sent)",
  incremental: true
})
const attemptSeconds = DurationHistogram.make(
  "spillway_webhook_attempt_seconds",
  "Duration of an attempt to deliver an event, until its response"
)

const attemptsOf = (outcome: string) => Metric.withAttributes(attemptsTotal, { outcome })
const attempts = {
  delivered: attemptsOf("delivered"),
  pending: attemptsOf("retried"),
  dead: attemptsOf("dead"),
  expired: attemptsOf("expired")
}

/** What a turn knows of its endpoint; changed by each result. */
interface Progress {
  failures: number
  since: number | undefined
  /** Requests at once. */
  width: number
  /** Milliseconds. */
  pause: number
  nextAt: number
  isStopped: boolean
  disable: DisabledReason | undefined
}

export const make = Effect.fnUntraced(function* (completions: Completions) {
  const client = yield* WebhookClient
  const sender = yield* Sender.make
  const disabling = yield* Disabling
  const credentials = yield* makeCredentials
  const clock = yield* Clock.Clock
  const now = () => clock.currentTimeMillisUnsafe()
  const context = yield* Effect.context<never>()

  const withHost = <A, E>({ endpoint, url }: Turn, use: (post: Post) => Effect.Effect<A, E>) =>
    client
      .withHost({ url, key: endpoint, patience: busyLimit }, use)
      .pipe(Effect.catchTag("HostBusy", () => new Sender.Postponed({ millis: Duration.toMillis(busyLimit) })))

  const note = (progress: Progress, { isFailure, isGone, result }: Sender.Sent) => {
    if (isFailure === undefined) return
    if (!isFailure) {
      progress.failures = 0
      progress.since = undefined
      return
    }
    progress.failures++
    progress.since ??= result.at
    if (progress.failures >= failuresToPause) {
      progress.isStopped = true
      progress.pause = Math.max(progress.pause, Duration.toMillis(pause))
    }
    const isFailing =
      progress.failures >= failuresToDisable || now() - progress.since >= Duration.toMillis(failingLimit)
    if (isGone || isFailing) {
      progress.disable = isGone ? "gone" : "failing"
      progress.isStopped = true
    }
  }

  /** Waits for the endpoint's rate. */
  const pace = (turn: Turn, progress: Progress) =>
    Effect.suspend(() => {
      if (turn.rate === undefined) return Effect.void
      const at = Math.max(now(), progress.nextAt)
      progress.nextAt = at + 1_000 / turn.rate
      return at > now() ? Effect.sleep(Duration.millis(at - now())) : Effect.void
    })

  const deliver = Effect.fnUntraced(function* (
    turn: Turn,
    held: Credentials,
    delivery: DueDelivery,
    progress: Progress,
    {
      isHeld,
      slots,
      until
    }: { readonly isHeld: () => boolean; readonly slots: Semaphore.Semaphore; readonly until: number }
  ) {
    const isOver = () => progress.isStopped || now() >= until || !isHeld()
    if (!isOver()) yield* pace(turn, progress)
    if (isOver()) return
    // The turn may have ended while it waited for its host.
    const send = (post: Post) => (isOver() ? Effect.undefined : sender.send(post, turn, held, delivery))
    const sent = yield* Effect.result(withHost(turn, send))
    if (Result.isFailure(sent)) {
      progress.isStopped = true
      progress.pause = Math.max(progress.pause, sent.failure.millis)
      return
    }
    if (sent.success === undefined) return
    const { isFailure, result } = sent.success
    note(progress, sent.success)
    progress.width = isFailure === true ? 1 : Math.min(maxOpenPerHost, 2 * progress.width)
    yield* slots.resize(progress.width)
    attempts[result.state].updateUnsafe(1, context)
    if (isFailure !== undefined) attemptSeconds.updateUnsafe(result.millis / 1e3, context)
    yield* completions.add({ result })
  })

  const probe = Effect.fnUntraced(function* (turn: Turn, held: Credentials) {
    const { endpoint, uid } = turn
    const event = yield* Events.make(testEvent, {
      uid: uid ?? "",
      data: { endpoint_id: Ids.endpointId(endpoint), uid: uid ?? null }
    })
    const message = { id: Ids.eventId(SecureRandom.uuidV7Unsafe()), body: Buffer.from(event.body) }
    const isAnswered = yield* withHost(turn, (post) => sender.post(post, turn, held, message)).pipe(
      Effect.map(({ sent }) => "status" in sent && sent.status >= 200 && sent.status < 300),
      Effect.catchTag("Postponed", () => Effect.succeed(false))
    )
    yield* completions.add({ end: isAnswered ? disabling.enable(turn) : disabling.keepDisabled(turn) })
  })

  const deliverAll = Effect.fnUntraced(function* (turn: Turn, held: Credentials, isHeld: () => boolean) {
    const { endpoint, failingSince, failures, token } = turn
    const slots = yield* Semaphore.make(1)
    const progress: Progress = {
      failures,
      since: failingSince,
      width: 1,
      pause: 0,
      nextAt: 0,
      isStopped: false,
      disable: undefined
    }
    const options = { isHeld, slots, until: now() + Duration.toMillis(slice) }
    const all = Effect.forEach(
      turn.deliveries,
      (delivery) => slots.withPermit(deliver(turn, held, delivery, progress, options)),
      { concurrency: maxOpenPerHost, discard: true }
    )
    // An interrupted turn ends, too, so that another node needs not wait for its lease.
    const end = Effect.suspend(() => {
      const { disable, pause, since } = progress
      const state = { ...turn, failures: progress.failures, failingSince: since }
      if (disable !== undefined) return completions.add({ end: disabling.disable(state, disable) })
      const untilNext = turn.rate === undefined ? 0 : Math.max(0, progress.nextAt - now())
      return completions.add({
        release: {
          endpoint,
          token,
          failures: progress.failures,
          since: since ?? null,
          pause: Math.max(pause, untilNext)
        }
      })
    })
    yield* Effect.ensuring(all, end)
  })

  /** `isHeld`: whether the node still has the turn. */
  return (turn: Turn, isHeld: () => boolean): Effect.Effect<void> =>
    credentials.fromRow(turn.uid, turn.credentials).pipe(
      Effect.flatMap((held) => (turn.isProbe ? probe(turn, held) : deliverAll(turn, held, isHeld))),
      Effect.catchTag("DecryptionFailed", (reason) => {
        const { endpoint, failingSince, failures, token } = turn
        const release = { endpoint, token, failures, since: failingSince ?? null }
        return Effect.andThen(
          Effect.annotateLogs(Effect.logWarning("the secret of an endpoint can't be decrypted", reason), { endpoint }),
          completions.add({ release: { ...release, pause: Duration.toMillis(unreadablePause) } })
        )
      })
    )
})
