/** Requests to finish a conversation (104) and their answers (201) on capture sockets, as omi's backend sends and expects them. */
import { Clock, Duration, Effect, FiberSet, Layer, Metric, Option, Queue, Schema } from "effect"
import * as BackgroundLoop from "../BackgroundLoop.ts"
import { DbCaller, ingestCaller } from "../Db.ts"
import { Finalization, type JobRequest, type JobState } from "../Finalization.ts"
import { Id } from "../Id.ts"
import { FinalizationConfig } from "./FinalizationConfig.ts"
import * as Pusher from "../Pusher.ts"

/** A longer text is ignored. The users' keys for providers, which are not read, take some hundred bytes. */
const maxTextBytes = 64 * 1024

/** Requests that wait for their answer; the next one is answered with a failure, and the client repeats it. */
const maxPending = 10_000
const maxPendingPerUser = 1_000

/** Requests in one query; the next ones follow in the next query. */
const maxRead = 1_000

/** Time for a request to be made durable. */
const acceptLimit = Duration.seconds(60)

const readEvery = Duration.seconds(1)
/** Between queries while more requests than one query has wait for their answer. */
const readPause = Duration.millis(100)
const readLimit = Duration.seconds(5)

const answers = Metric.counter("spillway_finalization_answers_total", {
  description: "Answers to requests to finish a conversation (201), by their result",
  incremental: true
})

/** The users' keys for providers (`byok_keys`) are not among the fields, so that nothing has them after decoding. */
const Request = Schema.fromJsonString(
  Schema.Struct({
    conversation_id: Schema.NullOr(Id),
    finalization_job_id: Schema.optional(Schema.NullOr(Id)),
    dispatch_generation: Schema.optional(
      Schema.NullOr(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER })))
    ),
    finalization_result_protocol: Schema.optional(Schema.NullOr(Schema.Int))
  })
)
const decode = Schema.decodeUnknownOption(Request)

/** The protocol in which answers say which generation is stale. */
const generationProtocol = 2

interface PendingRequest extends JobRequest {
  readonly sender: Pusher.Sender
  readonly knowsGenerations: boolean
  /** Monotonic milliseconds. */
  readonly until: number
}

type Answer =
  | { readonly success: true }
  | { readonly fenced: true }
  | { readonly error: string; readonly terminal?: true; readonly dispatch_generation?: number }

const failed: Answer = { error: "processing_failed" }

/** Another request would have the same answer. */
const terminal = (error: string): Answer => ({ error, terminal: true })

/** Undefined while the job runs or is retried. */
const answerTo = ({ generation, knowsGenerations }: PendingRequest, state: JobState): Answer | undefined => {
  switch (state) {
    case "finished":
      return { success: true }
    case "conversation_not_found":
    case "gone":
      return terminal("conversation_not_found")
    case "dead":
      return terminal("processing_failed")
    case "stale":
      return knowsGenerations
        ? { error: "job_stale_generation", terminal: true, dispatch_generation: generation }
        : { fenced: true }
    case "leased":
    case "failing":
    case "conflicting":
      return undefined
  }
}

/** The answer when the job has not ended in time. The request can be repeated. */
const lateAnswerTo = (state: JobState): Answer => {
  if (state === "leased") return { error: "job_leased" }
  return state === "conflicting" ? { error: "job_completion_conflict" } : failed
}

const labelOf = (answer: Answer) => {
  if ("error" in answer) return answer.error
  return "fenced" in answer ? "fenced" : "success"
}

const make = Effect.gen(function* () {
  const finalization = yield* Finalization
  const handlers = yield* Pusher.MessageHandlers
  const { answerWithin } = yield* FinalizationConfig
  const clock = yield* Clock.Clock
  const fork = yield* FiberSet.makeRuntime<never>()
  const now = () => Number(clock.monotonicTimeNanosUnsafe()) / 1e6
  /** A request beyond its bounds is answered at once with a failure. */
  const accepting = yield* Pusher.acceptBulkhead("finalization requests")
  /** The one that was read longest ago is first. */
  const pending = new Set<PendingRequest>()
  const ofUser = new Map<string, number>()
  const added = yield* Queue.sliding<void>(1)

  const count = (uid: string, more: 1 | -1) => {
    const left = (ofUser.get(uid) ?? 0) + more
    if (left === 0) ofUser.delete(uid)
    else ofUser.set(uid, left)
  }

  const send = ({ conversation, sender }: Pick<PendingRequest, "conversation" | "sender">, answer: Answer) =>
    Effect.suspend(() => {
      sender.send(
        Pusher.Protocol.withJson(Pusher.Protocol.opcodes.finished, { conversation_id: conversation, ...answer })
      )
      return Metric.update(Metric.withAttributes(answers, { result: labelOf(answer) }), 1)
    })

  const add = (each: PendingRequest) =>
    Effect.suspend(() => {
      if (pending.size >= maxPending || (ofUser.get(each.uid) ?? 0) >= maxPendingPerUser) return send(each, failed)
      pending.add(each)
      count(each.uid, 1)
      return Effect.asVoid(Queue.offer(added, undefined))
    })

  const accept = (each: PendingRequest) =>
    finalization.request(each).pipe(
      accepting.run(each.uid),
      Effect.timeout(acceptLimit),
      Effect.flatMap((isAccepted) => (isAccepted ? add(each) : send(each, failed))),
      Effect.catchCause((cause) =>
        Effect.andThen(
          Effect.annotateLogs(Effect.logDebug("a request to finish a conversation could not be recorded", cause), {
            uid: each.uid,
            conversation: each.conversation
          }),
          send(each, failed)
        )
      ),
      Effect.provideService(DbCaller, ingestCaller)
    )

  const settle = (each: PendingRequest, answer: Answer) =>
    Effect.suspend(() => {
      if (pending.delete(each)) count(each.uid, -1)
      return send(each, answer)
    })

  const read = Effect.fnUntraced(
    function* (some: ReadonlyArray<PendingRequest>) {
      const states = yield* Effect.timeout(finalization.states(some), readLimit)
      for (const [n, each] of some.entries()) {
        const state = states[n] ?? "gone"
        const answer = answerTo(each, state)
        if (answer !== undefined) yield* settle(each, answer)
        else if (now() >= each.until) yield* settle(each, lateAnswerTo(state))
        else {
          pending.delete(each)
          pending.add(each)
        }
      }
    },
    Effect.provideService(DbCaller, ingestCaller)
  )

  /** Without the database it is unknown whether a job has ended. */
  const expire = Effect.suspend(() =>
    Effect.forEach(
      [...pending].filter(({ until }) => now() >= until + Duration.toMillis(readLimit)),
      (each) => settle(each, failed),
      { discard: true }
    )
  )

  yield* BackgroundLoop.fork(
    Effect.gen(function* () {
      if (pending.size === 0) yield* Queue.take(added)
      yield* expire
      yield* read([...pending].slice(0, maxRead))
      yield* finalization.waitForEnd(pending.size > maxRead ? readPause : readEvery)
      return Duration.zero
    }),
    { failed: "the states of requests to finish conversations can't be read", retryAfter: readEvery }
  )

  yield* handlers.add(Pusher.Protocol.opcodes.finish, (sender, text) => {
    if (text.length > maxTextBytes) return false
    const request = Option.getOrUndefined(decode(text.toString()))
    if (request === undefined || request.conversation_id === null) return false
    const {
      conversation_id: conversation,
      dispatch_generation,
      finalization_job_id,
      finalization_result_protocol
    } = request
    const each: PendingRequest = {
      uid: sender.uid,
      conversation,
      job: finalization_job_id ?? "",
      generation: dispatch_generation ?? 1,
      sender,
      knowsGenerations: finalization_result_protocol === generationProtocol,
      until: now() + Duration.toMillis(answerWithin)
    }
    // A generation counts the dispatches of a job.
    const isUnnamed = each.job === "" && dispatch_generation != null
    fork(isUnnamed ? send(each, terminal("durable_job_required")) : accept(each))
    return true
  })
})

export const layer = Layer.effectDiscard(make)
