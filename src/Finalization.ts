/** Finishes conversations on request: what this node has received is stored, and the conversation is marked as finished. */
import { Context, Duration, Effect, Layer, Metric, Schema } from "effect"
import type { DbError } from "./Db.ts"
import * as DurationHistogram from "./DurationHistogram.ts"
import { type ClaimedJob, FinalizationRows, type JobRequest, type Outcome } from "./Finalization/FinalizationRows.ts"
import { Precache } from "./Precache.ts"
import { Recording } from "./Recording.ts"
import * as FairClaims from "./FairClaims.ts"

export type { JobRequest, JobState } from "./Finalization/FinalizationRows.ts"

/** Jobs of this node at once; the others wait for a turn. Most of their time they wait for uploads. */
const maxRunning = 16

/** Time for what this node has received to be stored; a job that takes longer has failed and is retried. */
const storeLimit = Duration.seconds(30)

export class Finalization extends Context.Service<
  Finalization,
  FairClaims.Worker.Worker & {
    /** Makes the job durable. False: too many of the user wait. A repeated job is joined, or has its outcome already. */
    request(request: JobRequest): Effect.Effect<boolean, DbError>
    /** In the order of the requests. */
    readonly states: FinalizationRows["Service"]["states"]
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
const active = Metric.gauge("spillway_finalization_active", {
  description: "Conversations that this node finishes now"
})
const jobSeconds = DurationHistogram.make(
  "spillway_finalization_seconds",
  "Duration of an attempt to finish a conversation"
)

const make = Effect.gen(function* () {
  const rows = yield* FinalizationRows
  const recording = yield* Recording
  const precache = yield* Precache

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

  const worker = yield* FairClaims.Worker.make({
    subject: "the finish of a conversation",
    turns: rows,
    maxRunning,
    work,
    fail: (claimed, { message }) => rows.fail(claimed, message),
    annotations: ({ conversation, uid }) => ({ uid, conversation }),
    outcomes: jobs,
    seconds: jobSeconds,
    active
  })

  return Finalization.of({
    ...worker,
    request: Effect.fn("Finalization.request")(function* (request) {
      yield* recording.seal(request)
      const isAccepted = yield* rows.request(request)
      if (isAccepted) yield* worker.requested
      return isAccepted
    }),
    states: rows.states
  })
})
