/** Makes artifacts when they are due, removes old rows, and samples the backlog. */
import { Duration, Effect, Layer, Metric } from "effect"
import * as BackgroundLoop from "../BackgroundLoop.ts"
import { maxClaimed } from "../Claims.ts"
import { Playback } from "../Playback.ts"
import { Precache } from "../Precache.ts"

/** Longest wait: artifacts that are retried or that other nodes request are found by then. Also the pause after a failure. */
const pollEvery = Duration.seconds(2)

/** Interval of the checks for ended conversations. */
const settleEvery = Duration.seconds(10)

const sampleEvery = Duration.seconds(15)

const pruneEvery = Duration.seconds(15)

const waiting = Metric.gauge("spillway_precache_waiting", {
  description: "Audio files that are being merged or are to be, counted to 10,000"
})
const dead = Metric.gauge("spillway_precache_dead", {
  description: "Audio files whose merge was given up, counted to 10,000"
})

const loops = Layer.effectDiscard(
  Effect.gen(function* () {
    const { backlog, prune, settle, sweep, waitForRequest } = yield* Precache

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
      failed: "a sweep of artifacts failed and is repeated",
      retryAfter: pollEvery
    })
    yield* BackgroundLoop.fork(
      Effect.map(settle, (checked) => (checked < maxClaimed ? settleEvery : Duration.zero)),
      { failed: "ends of conversations could not be read", retryAfter: settleEvery }
    )
    yield* BackgroundLoop.every(sampleEvery, sample, "the backlog of artifacts could not be sampled")
    yield* BackgroundLoop.every(pruneEvery, prune, "old rows of artifacts could not be removed")
  })
)

/** With the service itself, and playback, whose renditions it merges. */
export const layer = loops.pipe(Layer.provideMerge(Precache.layer), Layer.provideMerge(Playback.layer))
