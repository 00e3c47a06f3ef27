/** Runs the jobs of turns on this node: a bounded number at once, each under its lease. Every end of a job is settled and counted. */
import { Duration, Effect, FiberSet, Metric, Option, Queue, type Scope, Semaphore } from "effect"
import * as Claims from "../Claims.ts"
import type { DbError } from "../Db.ts"
import * as DurationHistogram from "../DurationHistogram.ts"
import type { Claimed, FairClaims, LeaseEnded } from "../FairClaims.ts"

export interface Failure {
  readonly _tag: string
  readonly message: string
}

export interface Options<Job extends Claimed, E extends Failure> {
  /** In messages: "the merge of an audio file". */
  readonly subject: string
  readonly turns: Pick<FairClaims<Job>, "claim" | "extend" | "release" | "lapsedError" | "prune" | "backlog">
  /** Jobs of this node at once; the others wait for a turn. */
  readonly maxRunning: number
  /** Does a job and completes its row. Returns the outcome for the metrics. */
  readonly work: (job: Job) => Effect.Effect<string, E | LeaseEnded>
  /** Records a failure or a defect in the row. */
  readonly fail: (job: Job, failure: Failure) => Effect.Effect<"failed" | "dead" | "lost", DbError>
  readonly annotations: (job: Job) => Readonly<Record<string, string>>
  readonly outcomes: Metric.Counter<number>
  readonly seconds: ReturnType<typeof DurationHistogram.make>
  readonly active: Metric.Gauge<number>
}

export interface Worker extends Pick<FairClaims<never>, "prune" | "backlog"> {
  /** Takes the next user's turn and starts a job; 0 if no turn is due. Waits while this node runs as many as its bound. */
  readonly sweep: Effect.Effect<number, DbError>
  readonly idle: Effect.Effect<void>
  /** A job was requested on this node. */
  readonly requested: Effect.Effect<void>
  /** Waits until a job is requested on this node, at most `limit`. */
  waitForRequest(limit: Duration.Duration): Effect.Effect<void>
  /** Waits until a job ends on this node, at most `limit`. */
  waitForEnd(limit: Duration.Duration): Effect.Effect<void>
}

/** Time in which an interrupted job returns its claim. Without that it fails, when its lease ends. */
const releaseLimit = Duration.seconds(2)

export const make = Effect.fnUntraced(function* <Job extends Claimed, E extends Failure>(
  options: Options<Job, E>
): Effect.fn.Return<Worker, never, Scope.Scope> {
  const { active, maxRunning, outcomes, seconds, subject, turns } = options
  const slots = yield* Semaphore.make(maxRunning)
  const running = yield* FiberSet.make<void>()
  const requested = yield* Queue.sliding<void>(1)
  const ended = yield* Queue.sliding<void>(1)
  let count = 0

  const countRunning = (more: 1 | -1) =>
    Effect.suspend(() => {
      count += more
      return Metric.update(active, count)
    })

  const countOutcome = (outcome: string) => Metric.update(Metric.withAttributes(outcomes, { outcome }), 1)

  /** Fails when the lease has ended. */
  const keepLease = (job: Job) =>
    turns.extend(job).pipe(
      // The database may answer the next time, before the lease ends.
      Effect.catchTag(["DbUnavailable", "DbTimeout", "DbBusy"], () => Effect.void),
      Effect.delay(Claims.extendEvery),
      Effect.forever
    )

  const logFailure = (job: Job, outcome: "failed" | "dead", error: string) => {
    const message =
      outcome === "dead"
        ? `${subject} has failed ${Claims.maxAttempts} times and is given up`
        : `${subject} has failed and is retried with backoff`
    return Effect.annotateLogs(Effect.logWarning(message), { ...options.annotations(job), error })
  }

  const fail = Effect.fnUntraced(function* (job: Job, failure: Failure) {
    const outcome = yield* options.fail(job, failure)
    if (outcome !== "lost") yield* logFailure(job, outcome, failure.message)
    return outcome
  })

  const outcomeOf = (job: Job) =>
    Effect.raceFirst(options.work(job), keepLease(job)).pipe(
      Effect.catch((failure): Effect.Effect<string, DbError> =>
        failure._tag === "LeaseEnded" ? Effect.succeed("lost") : fail(job, failure)
      ),
      Effect.catchDefect((defect) =>
        Effect.andThen(
          Effect.logError(`${subject} has ended with a defect`, defect),
          fail(job, { _tag: "Defect", message: String(defect) })
        )
      )
    )

  const runOne = (job: Job) =>
    outcomeOf(job).pipe(
      Effect.flatMap(countOutcome),
      DurationHistogram.track(seconds),
      Effect.onInterrupt(() =>
        turns.release(job).pipe(Effect.interruptible, Effect.timeoutOption(releaseLimit), Effect.ignore)
      ),
      Effect.catchCause((cause) =>
        Effect.annotateLogs(
          Effect.logWarning(`${subject} is repeated after its lease`, cause),
          options.annotations(job)
        )
      ),
      Effect.ensuring(Effect.all([slots.release(1), countRunning(-1), Queue.offer(ended, undefined)]))
    )

  const sweep = Effect.uninterruptibleMask((restore) =>
    Effect.gen(function* () {
      yield* restore(slots.take(1))
      const turn = yield* restore(turns.claim).pipe(Effect.onError(() => slots.release(1)))
      if (Option.isNone(turn)) return yield* Effect.as(slots.release(1), 0)
      if (turn.value?.outcome !== "claimed") {
        yield* slots.release(1)
        if (turn.value === undefined) return 1
        yield* logFailure(turn.value.job, turn.value.outcome, turns.lapsedError)
        yield* countOutcome(turn.value.outcome)
        return 1
      }
      yield* countRunning(1)
      yield* FiberSet.run(running, restore(runOne(turn.value.job)), { propagateInterruption: false })
      return 1
    })
  )

  return {
    prune: turns.prune,
    backlog: turns.backlog,
    sweep,
    idle: FiberSet.awaitEmpty(running),
    requested: Effect.asVoid(Queue.offer(requested, undefined)),
    waitForRequest: (limit) => Effect.asVoid(Effect.timeoutOption(Queue.take(requested), limit)),
    waitForEnd: (limit) => Effect.asVoid(Effect.timeoutOption(Queue.take(ended), limit))
  }
})
