/** Runs purges when they are due, and samples the backlog. */
import { Duration, Effect, Layer, Metric, Schedule } from "effect"
import { Purges } from "../Purges.ts"

/** Longest wait: what is due later, or was requested on other nodes, begins by then. Also the pause after a failure. */
const pollEvery = Duration.seconds(2)

const sampleEvery = Duration.seconds(15)

const unfinished = Metric.gauge("spillway_purge_unfinished", {
  description: "Purges that are scheduled, run or are retried, counted to 10,000"
})
const dead = Metric.gauge("spillway_purge_dead", { description: "Purges that were given up, counted to 10,000" })

/** With the service itself. */
export const layer = Layer.effectDiscard(
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
).pipe(Layer.provideMerge(Purges.layer))
