/** Creates VODs when broadcasts end, prepares them, and purges VODs that were deleted long ago. */
import { Duration, Effect, Layer, Metric } from "effect"
import * as BackgroundLoop from "../BackgroundLoop.ts"
import * as Janitor from "../Janitor.ts"
import { Vods } from "../Vods.ts"

/** Interval of the search for broadcasts that have ended. */
const settleEvery = Duration.seconds(1)

const purgeEvery = Duration.minutes(1)
const pruneEvery = Duration.minutes(1)

/** Pause between two batches of old plays. */
const nextBatch = Duration.millis(100)

const waiting = Metric.gauge("spillway_vod_waiting", {
  description: "VODs that are being prepared or are to be, counted to 10,000"
})
const dead = Metric.gauge("spillway_vod_dead", {
  description: "VODs whose preparation was given up and that are about to fail, counted to 10,000"
})

const loops = Layer.effectDiscard(
  Effect.gen(function* () {
    const vods = yield* Vods
    yield* Janitor.fork(vods, { subject: "preparations of VODs", waiting, dead })
    yield* BackgroundLoop.fork(
      Effect.map(vods.settle, (isMore) => (isMore ? Duration.zero : settleEvery)),
      { failed: "the VODs of ended broadcasts could not be created", retryAfter: settleEvery }
    )
    yield* BackgroundLoop.fork(
      Effect.map(vods.purgeDeleted, (isMore) => (isMore ? Duration.zero : purgeEvery)),
      { failed: "deleted VODs could not be purged", retryAfter: purgeEvery }
    )
    yield* BackgroundLoop.fork(
      Effect.map(vods.plays.prune, (isMore) => (isMore ? nextBatch : pruneEvery)),
      { failed: "old plays of VODs could not be removed", retryAfter: pruneEvery }
    )
  })
)

/** With the service itself. */
export const layer = loops.pipe(Layer.provideMerge(Vods.layer))
