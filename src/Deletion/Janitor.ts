/** Runs sweeps when tombstones are due, and samples the backlog. */
import { Clock, Duration, Effect, Layer, Metric } from "effect"
import * as BackgroundLoop from "../BackgroundLoop.ts"
import { maxClaimed } from "../Claims.ts"
import { Deletion } from "../Deletion.ts"

/** Longest wait: tombstones that other nodes have scheduled are found by then. Also the pause after a failure. */
const pollEvery = Duration.seconds(5)

/** Pause after a sweep of a partial batch, in which further tombstones become due. */
const gather = Duration.millis(100)

const sampleEvery = Duration.seconds(15)

const gauge = (name: string, description: string) => Metric.gauge(name, { description })
const pending = gauge("spillway_deletion_pending", "Tombstones that are not dead letters; above 10,000 an estimate")
const due = gauge("spillway_deletion_due", "Tombstones that are due, counted to 10,000")
const oldestDue = gauge("spillway_deletion_oldest_due_seconds", "How long the oldest due tombstone has been due")
const dead = gauge("spillway_deletion_dead", "Tombstones whose deletion failed 20 times, counted to 10,000")
const lastSweep = gauge("spillway_deletion_last_sweep_time_seconds", "Unix time of this node's last completed sweep")

export const layer = Layer.effectDiscard(
  Effect.gen(function* () {
    const deletion = yield* Deletion

    const sweep = Effect.gen(function* () {
      const size = yield* deletion.sweep
      yield* Metric.update(lastSweep, (yield* Clock.currentTimeMillis) / 1_000)
      if (size === 0) yield* deletion.waitForDue(pollEvery)
      return size > 0 && size < maxClaimed ? gather : Duration.zero
    })
    const sample = Effect.gen(function* () {
      const backlog = yield* deletion.backlog
      yield* Metric.update(pending, backlog.pending)
      yield* Metric.update(due, backlog.due)
      yield* Metric.update(oldestDue, Duration.toSeconds(backlog.oldestDue))
      yield* Metric.update(dead, backlog.dead)
    })

    yield* BackgroundLoop.fork(sweep, { failed: "a sweep of tombstones failed and is repeated", retryAfter: pollEvery })
    yield* BackgroundLoop.every(sampleEvery, sample, "the backlog of deletions could not be sampled")
  })
)
