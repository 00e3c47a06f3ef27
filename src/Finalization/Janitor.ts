/** Answers requests to finish conversations, runs their jobs when they are due, removes old rows, and samples the backlog. */
import { Duration, Effect, Layer, Metric } from "effect"
import * as BackgroundLoop from "../BackgroundLoop.ts"
import { Finalization } from "../Finalization.ts"
import * as Messages from "./Messages.ts"

/** Longest wait: jobs that are retried or that other nodes request are found by then. Also the pause after a failure. */
const pollEvery = Duration.seconds(2)

const sampleEvery = Duration.seconds(15)

const pruneEvery = Duration.seconds(15)

const waiting = Metric.gauge("spillway_finalization_waiting", {
  description: "Requests to finish a conversation that wait or are being done, counted to 10,000"
})
const dead = Metric.gauge("spillway_finalization_dead", {
  description: "Requests to finish a conversation that were given up, counted to 10,000"
})

const loops = Layer.effectDiscard(
  Effect.gen(function* () {
    const { backlog, prune, sweep, waitForRequest } = yield* Finalization

    const sweepOrWait = Effect.gen(function* () {
      if ((yield* sweep) === 0) yield* waitForRequest(pollEvery)
      return Duration.zero
    })
    const sample = Effect.gen(function* () {
      const counts = yield* backlog
      yield* Metric.update(waiting, counts.waiting)
      yield* Metric.update(dead, counts.dead)
    })

    yield* BackgroundLoop.fork(sweepOrWait, {
      failed: "a sweep of requests to finish conversations failed and is repeated",
      retryAfter: pollEvery
    })
    yield* BackgroundLoop.every(
      sampleEvery,
      sample,
      "the backlog of requests to finish conversations could not be sampled"
    )
    yield* BackgroundLoop.every(pruneEvery, prune, "old requests to finish conversations could not be removed")
  })
)

export const layer = Layer.merge(loops, Messages.layer).pipe(Layer.provide(Finalization.layer))
