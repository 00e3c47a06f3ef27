/** Finishes conversations on request: what this node has received is stored, and the conversation is marked as finished. */
import { Context, Duration, Effect, FiberSet, Layer, Metric, Option, Queue, Schema, Semaphore } from "effect"
import * as Claims from "./Claims.ts"
import type { DbError } from "./Db.ts"
import * as DurationHistogram from "./DurationHistogram.ts"
import { type ClaimedJob, FinalizationRows, type JobRequest, type Outcome } from "./Finalization/FinalizationRows.ts"
import { Precache } from "./Precache.ts"
import { Recording } from "./Recording.ts"

export type { JobRequest, JobState } from "./Finalization/FinalizationRows.ts"

/** Jobs of this node at once; the others wait for a turn. Most of their time they wait for uploads. */
const maxRunning = 16

/** Time for what this node has received to be stored; a job that takes longer has failed and is retried. */
const storeLimit = Duration.seconds(30)

/** Time in which an interrupted job returns its claim. Without that it is claimed again when its lease ends. */
const releaseLimit = Duration.seconds(2)

export class Finalization extends Context.Service<
  Finalization,
  {
    /** Makes the job durable. False: too many of the user wait. A repeated job is joined, or has its outcome already. */
    request(request: JobRequest): Effect.Effect<boolean, DbError>
    /** In the order of the requests. */
    readonly states: FinalizationRows["Service"]["states"]
    /** Takes the next user's turn and starts a job; 0 if no turn is due. Waits while this node runs as many as its bound. */
    readonly sweep: Effect.Effect<number, DbError>
    readonly idle: Effect.Effect<void>
    /** Waits until a job is requested on this node, at most `limit`. */
    waitForRequest(limit: Duration.Duration): Effect.Effect<void>
    /** Waits until a job ends on this node, at most `limit`. */
    waitForEnd(limit: Duration.Duration): Effect.Effect<void>
    readonly prune: FinalizationRows["Service"]["prune"]
    readonly backlog: FinalizationRows["Service"]["backlog"]
  }
>()("spillway/Finalization") {
  static readonly layerNoDeps = Layer.effect(
    Finalization,
    Effect.suspend(() => make)
  )
  static readonly layer = this.layerNoDeps.pipe(Layer.provide(FinalizationRows.layer))
}

class NotStored extends Schema.TaggedError<NotStored>()("NotStored", { conversation: Schema.String }) {
  override get message() {
    return `audio of ${this.conversation} was not stored in time`
  }
}

const jobs = Metric.counter("spillway_finalizations_total", {
  description:
    "Attempts to finish a conversation by outcome: finished, conversation_not_found, failed (retried with backoff), dead (given up), lost (to another node or a later request)",
  incremental: true
})
const jobSeconds = DurationHistogram.make(
  "spillway_finalization_seconds",
  "Duration of an attempt to finish a conversation"
)

const make = Effect.gen(function* () {
  const rows = yield* FinalizationRows
  const recording = yield* Recording
  const precache = yield* Precache
  const slots = yield* Semaphore.make(maxRunning)
  const running = yield* FiberSet.make<void>()
  const requested = yield* Queue.sliding<void>(1)
  const ended = yield* Queue.sliding<void>(1)

  const work = Effect.fnUntraced(function* (claimed: ClaimedJob) {
    const { conversation, uid } = claimed
    if (!(yield* recording.flush({ uid, conversation }, storeLimit))) return yield* new NotStored({ conversation })
    const finish = Effect.gen(function* () {
      if (!(yield* recording.finish({ uid, conversation }))) return "conversation_not_found" satisfies Outcome
      yield* precache.end(uid, conversation)
      return "finished" satisfies Outcome
    })
    return yield* rows.complete(claimed, finish)
  })

  /** Fails when the lease has ended. */
  const keepLease = (claimed: ClaimedJob) =>
    rows.extend(claimed).pipe(
      // The database may answer the next time, before the lease ends.
      Effect.catchTag(["DbUnavailable", "DbTimeout", "DbBusy"], () => Effect.void),
      Effect.delay(Claims.extendEvery),
      Effect.forever
    )

  const fail = Effect.fnUntraced(function* (claimed: ClaimedJob, error: string) {
    const { conversation, uid } = claimed
    const outcome = yield* rows.fail(claimed, error)
    const message =
      outcome === "dead"
        ? "a conversation could not be finished in 20 attempts, and is given up"
        : "a conversation could not be finished, and is retried with backoff"
    if (outcome !== "lost") yield* Effect.annotateLogs(Effect.logWarning(message), { uid, conversation, error })
    return outcome
  })

  const outcomeOf = (claimed: ClaimedJob) =>
    Effect.raceFirst(work(claimed), keepLease(claimed)).pipe(
      Effect.catchTag("LeaseEnded", () => Effect.succeed("lost" as const)),
      Effect.catch((failure) => fail(claimed, failure.message)),
      Effect.catchDefect((defect) =>
        Effect.andThen(
          Effect.logError("finishing a conversation has ended with a defect", defect),
          fail(claimed, String(defect))
        )
      )
    )

  const runOne = (claimed: ClaimedJob) =>
    outcomeOf(claimed).pipe(
      Effect.flatMap((outcome) => Metric.update(Metric.withAttributes(jobs, { outcome }), 1)),
      DurationHistogram.track(jobSeconds),
      Effect.onInterrupt(() =>
        rows.release(claimed).pipe(Effect.interruptible, Effect.timeoutOption(releaseLimit), Effect.ignore)
      ),
      Effect.catchCause((cause) =>
        Effect.annotateLogs(Effect.logWarning("a conversation is finished after the lease of its job", cause), {
          uid: claimed.uid,
          conversation: claimed.conversation
        })
      ),
      Effect.ensuring(Effect.andThen(slots.release(1), Queue.offer(ended, undefined)))
    )

  const sweep = Effect.uninterruptibleMask((restore) =>
    Effect.gen(function* () {
      yield* restore(slots.take(1))
      const turn = yield* restore(rows.claim).pipe(Effect.onError(() => slots.release(1)))
      if (Option.isNone(turn) || turn.value === undefined)
        return yield* Effect.as(slots.release(1), Option.isNone(turn) ? 0 : 1)
      yield* FiberSet.run(running, restore(runOne(turn.value)), { propagateInterruption: false })
      return 1
    })
  )

  return Finalization.of({
    request: Effect.fn("Finalization.request")(function* (request) {
      yield* recording.seal(request)
      const isAccepted = yield* rows.request(request)
      if (isAccepted) yield* Queue.offer(requested, undefined)
      return isAccepted
    }),
    states: rows.states,
    sweep,
    idle: FiberSet.awaitEmpty(running),
    waitForRequest: (limit) => Effect.asVoid(Effect.timeoutOption(Queue.take(requested), limit)),
    waitForEnd: (limit) => Effect.asVoid(Effect.timeoutOption(Queue.take(ended), limit)),
    prune: rows.prune,
    backlog: rows.backlog
  })
})
