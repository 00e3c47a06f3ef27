/** Runs sweeps when tombstones are due, and samples the backlog. */
import { Clock, Duration, Effect, Layer, Metric, Schedule } from "effect"
import { maxClaimed } from "../Claims.ts"
import { Deletion } from "../Deletion.ts"

/** Longest wait: what other nodes schedule is found by then. Also the pause after a failure. */
const pollEvery = Duration.seconds(5)

/** Pause after a sweep that found some, so that many tombstones make few batches. */
const gather = Duration.millis(100)

const sampleEvery = Duration.seconds(15)

const gauge = (name: string, description: string) => Metric.gauge(name, { description })
const pending = gauge("spillway_deletion_pending", "Tombstones that wait; above 10,000 an estimate")
const due = gauge("spillway_deletion_due", "Tombstones that are due, counted to 10,000")
const oldestDue = gauge("spillway_deletion_oldest_due_seconds", "How long the oldest due tombstone has been due")
const dead = gauge("spillway_deletion_dead", "Tombstones that were given up, counted to 10,000")
const lastSweep = gauge("spillway_deletion_last_sweep_time_seconds", "Unix time of this node's last completed sweep")

export const layer = Layer.effectDiscard(
  Effect.gen(function* () {
    const deletion = yield* Deletion

    const round = Effect.gen(function* () {
      const size = yield* deletion.sweep
      yield* Metric.update(lastSweep, (yield* Clock.currentTimeMillis) / 1_000)
      if (size === 0) yield* deletion.waitForDue(pollEvery)
      else if (size < maxClaimed) yield* Effect.sleep(gather)
    })
    const sample = Effect.gen(function* () {
      const backlog = yield* deletion.backlog
      yield* Metric.update(pending, backlog.pending)
      yield* Metric.update(due, backlog.due)
      yield* Metric.update(oldestDue, Duration.toSeconds(backlog.oldestDue))
      yield* Metric.update(dead, backlog.dead)
    })

    yield* round.pipe(
      Effect.catchCause((cause) =>
        Effect.andThen(Effect.logError("a sweep of tombstones failed and is repeated", cause), Effect.sleep(pollEvery))
      ),
      Effect.forever,
      Effect.forkScoped
    )
    yield* sample.pipe(
      Effect.catchCause((cause) => Effect.logWarning("the backlog of deletions could not be sampled", cause)),
      Effect.repeat(Schedule.spaced(sampleEvery)),
      Effect.forkScoped
    )
  })
)
