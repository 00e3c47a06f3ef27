/** Makes artifacts when they are due, and notices the ends of conversations. */
import { Duration, Effect, Layer, Metric } from "effect"
import * as BackgroundLoop from "../BackgroundLoop.ts"
import { maxClaimed } from "../Claims.ts"
import * as Janitor from "../Janitor.ts"
import { Playback } from "../Playback.ts"
import { Precache } from "../Precache.ts"

/** Interval of the checks for ended conversations. */
const settleEvery = Duration.seconds(10)

const waiting = Metric.gauge("spillway_precache_waiting", {
  description: "Audio files that are being merged or are to be, counted to 10,000"
})
const dead = Metric.gauge("spillway_precache_dead", {
  description: "Audio files whose merge was given up, counted to 10,000"
})

const loops = Layer.effectDiscard(
  Effect.gen(function* () {
    const precache = yield* Precache
    yield* Janitor.fork(precache, { subject: "merges", waiting, dead })
    yield* BackgroundLoop.fork(
      Effect.map(precache.settle, (checked) => (checked < maxClaimed ? settleEvery : Duration.zero)),
      { failed: "ends of conversations could not be read", retryAfter: settleEvery }
    )
  })
)

/** With the service itself, and playback, whose renditions it merges. */
export const layer = loops.pipe(Layer.provideMerge(Precache.layer), Layer.provideMerge(Playback.layer))
