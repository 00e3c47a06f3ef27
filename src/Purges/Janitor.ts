/** Runs purges when they are due, requests those of retention, removes old rows, and samples the backlog. */
import { Duration, Effect, Layer, Metric } from "effect"
import * as BackgroundLoop from "../BackgroundLoop.ts"
import { Purges } from "../Purges.ts"
import { Retention, type Swept } from "./Retention/Retention.ts"
import { RetentionConfig } from "./Retention/RetentionConfig.ts"

/** Longest wait: purges that become due or that other nodes request start by then. Also the pause after a failure. */
const pollEvery = Duration.seconds(2)

const sampleEvery = Duration.seconds(15)

const pruneEvery = Duration.seconds(15)

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
  Effect.gen(function* () {
    const { backlog, prune, sweep, waitForRequest } = yield* Purges

    const sweepOrWait = Effect.gen(function* () {
      if (!(yield* sweep)) yield* waitForRequest(pollEvery)
      return Duration.zero
    })
    const sample = Effect.gen(function* () {
      const counts = yield* backlog
      yield* Metric.update(unfinished, counts.unfinished)
      yield* Metric.update(dead, counts.dead)
    })

    yield* BackgroundLoop.fork(sweepOrWait, {
      failed: "a sweep of purges failed and is repeated",
      retryAfter: pollEvery
    })
    yield* BackgroundLoop.every(sampleEvery, sample, "the backlog of purges could not be sampled")
    yield* BackgroundLoop.every(pruneEvery, prune, "old rows of purges could not be removed")
  })
)

/** With the service itself. */
export const layer = Layer.merge(purges, retention).pipe(Layer.provideMerge(Purges.layer))
