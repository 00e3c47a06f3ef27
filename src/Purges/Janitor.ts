/** Runs purges when they are due, and requests those of retention. */
import { Duration, Effect, Layer, Metric } from "effect"
import * as BackgroundLoop from "../BackgroundLoop.ts"
import * as Janitor from "../Janitor.ts"
import { Purges } from "../Purges.ts"
import { Retention, type Swept } from "./Retention/Retention.ts"
import { RetentionConfig } from "./Retention/RetentionConfig.ts"

/** Pause of retention between two pages of users. */
const nextUsers = Duration.seconds(1)

/** Pause of retention while the number of purges in progress is at its bound, and after a failure. */
const retentionPause = Duration.seconds(15)

const unfinished = Metric.gauge("spillway_purge_unfinished", {
  description: "Purges that are scheduled, run or are retried, counted to 10,000"
})
const dead = Metric.gauge("spillway_purge_dead", { description: "Purges that failed 20 times, counted to 10,000" })

const retention = Layer.effectDiscard(
  Effect.gen(function* () {
    const { sweep } = yield* Retention
    const { interval } = yield* RetentionConfig
    const pauses: Record<Swept, Duration.Duration> = { more: nextUsers, full: retentionPause, round: interval }

    yield* BackgroundLoop.fork(
      Effect.map(sweep, (swept) => pauses[swept]),
      { failed: "retention could not be applied and is repeated", retryAfter: retentionPause }
    )
  })
).pipe(Layer.provide(Retention.layer))

const purges = Layer.effectDiscard(
  Purges.use((purges) => Janitor.fork(purges, { subject: "purges", waiting: unfinished, dead }))
)

/** With the service itself. */
export const layer = Layer.merge(purges, retention).pipe(Layer.provideMerge(Purges.layer))
