/** The loops of a service with durable jobs: runs what is due, removes old rows, and samples the backlog. */
import { Duration, Effect, Metric } from "effect"
import type { Scope } from "effect"
import * as BackgroundLoop from "./BackgroundLoop.ts"
import type { DbError } from "./Db.ts"

/** Longest wait: jobs that are retried or that other nodes request are found by then. Also the pause after a failure. */
const pollEvery = Duration.seconds(2)

const sampleEvery = Duration.seconds(15)

const pruneEvery = Duration.seconds(15)

export interface Swept {
  /** Starts a bounded number of jobs that are due, and returns how many; 0 if none is. */
  readonly sweep: Effect.Effect<number, DbError>
  /** Waits until a job is requested on this node, at most `limit`. */
  waitForRequest(limit: Duration.Duration): Effect.Effect<void>
  readonly prune: Effect.Effect<void, DbError>
  readonly backlog: Effect.Effect<{ readonly waiting: number; readonly dead: number }, DbError>
}

export interface Options {
  /** In messages: "merges". */
  readonly subject: string
  readonly waiting: Metric.Gauge<number>
  readonly dead: Metric.Gauge<number>
}

export const fork = Effect.fnUntraced(function* (
  { backlog, prune, sweep, waitForRequest }: Swept,
  { dead, subject, waiting }: Options
): Effect.fn.Return<void, never, Scope.Scope> {
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
    failed: `a sweep of ${subject} failed and is repeated`,
    retryAfter: pollEvery
  })
  yield* BackgroundLoop.every(sampleEvery, sample, `the backlog of ${subject} could not be sampled`)
  yield* BackgroundLoop.every(pruneEvery, prune, `old rows of ${subject} could not be removed`)
})
