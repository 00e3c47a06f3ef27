/** Runs purges when they are due, requests those of retention, and samples the backlog. */
import { Duration, Effect, Layer, Metric, Schedule } from "effect"
import { Purges } from "../Purges.ts"
import { Retention, type Swept } from "./Retention/Retention.ts"
import { RetentionConfig } from "./Retention/RetentionConfig.ts"

/** Longest wait: what is due later, or was requested on other nodes, begins by then. Also the pause after a failure. */
const pollEvery = Duration.seconds(2)

const sampleEvery = Duration.seconds(15)

/** Pause of retention between two pages of users. */
const nextUsers = Duration.seconds(1)

/** Pause of retention while enough purges wait, and after a failure. */
const retentionPause = Duration.seconds(15)

const unfinished = Metric.gauge("spillway_purge_unfinished", {
  description: "Purges that are scheduled, run or are retried, counted to 10,000"
})
const dead = Metric.gauge("spillway_purge_dead", { description: "Purges that were given up, counted to 10,000" })

const retention = Layer.effectDiscard(
  Effect.gen(function* () {
    const { sweep } = yield* Retention
    const { interval } = yield* RetentionConfig
    const pauses: Record<Swept, Duration.Duration> = { more: nextUsers, full: retentionPause, round: interval }

    yield* Effect.map(sweep, (swept) => pauses[swept]).pipe(
      Effect.catchCause((cause) =>
        Effect.as(Effect.logWarning("retention could not be applied, and is tried again", cause), retentionPause)
      ),
      Effect.flatMap(Effect.sleep),
      Effect.forever,
      Effect.forkScoped
    )
  })
).pipe(Layer.provide(Retention.layer))

const purges = Layer.effectDiscard(
  Effect.gen(function* () {
    const purges = yield* Purges

    const round = Effect.flatMap(purges.sweep, (found) => (found ? Effect.void : purges.waitForRequest(pollEvery)))
    const sample = Effect.gen(function* () {
      const backlog = yield* purges.backlog
      yield* Metric.update(unfinished, backlog.unfinished)
      yield* Metric.update(dead, backlog.dead)
      yield* purges.prune
    })

    yield* round.pipe(
      Effect.catchCause((cause) =>
        Effect.andThen(Effect.logError("purges could not be run, and are tried again", cause), Effect.sleep(pollEvery))
      ),
      Effect.forever,
      Effect.forkScoped
    )
    yield* sample.pipe(
      Effect.catchCause((cause) => Effect.logWarning("the backlog of purges could not be sampled", cause)),
      Effect.repeat(Schedule.spaced(sampleEvery)),
      Effect.forkScoped
    )
  })
)

/** With the service itself. */
export const layer = Layer.merge(purges, retention).pipe(Layer.provideMerge(Purges.layer))
