/** The one policy for operations on Google Cloud Storage: how long they may take, and when a request is made again. */
import { Duration, Effect, Metric, Schedule } from "effect"
import type { GcsConfig } from "./GcsConfig.ts"
import { transient } from "./Fault.ts"
import type { GcsFault } from "./Fault.ts"
import * as StorageMetrics from "../StorageMetrics.ts"

export type Limits = Pick<GcsConfig["Service"], "deadline" | "retryBase" | "retryCap">

/** Waits between attempts: one after the other, twice as long each, up to the cap, varied by a fifth. */
const delays = ({ retryBase, retryCap }: Limits) =>
  Schedule.min([Schedule.exponential(retryBase), Schedule.spaced(retryCap)]).pipe(Schedule.jittered)

/** Again and again while the fault is transient and the deadline has not passed, which also cuts what goes on then. */
export function retry<A, R>(limits: Limits, effect: Effect.Effect<A, GcsFault, R>): Effect.Effect<A, GcsFault, R> {
  return Effect.suspend(() => {
    let reason = "no answer"
    const schedule = delays(limits).pipe(
      Schedule.setInputType<GcsFault>(),
      Schedule.while(({ input }) => {
        reason = input.message
        return input.isTransient
      })
    )
    let isAgain = false
    const attempt = Effect.suspend(() => {
      if (isAgain) return Effect.andThen(Metric.update(StorageMetrics.retries, 1), effect)
      isAgain = true
      return effect
    })
    return Effect.timeoutOrElse(Effect.retry(attempt, schedule), {
      duration: limits.deadline,
      orElse: () => Effect.fail(transient(`${reason}; given up after ${Duration.format(limits.deadline)}`))
    })
  })
}

/** Goes on after a fault of the first attempt, which was made without this policy. */
export function retryAfter<A, R>(
  limits: Limits,
  fault: GcsFault,
  effect: Effect.Effect<A, GcsFault, R>
): Effect.Effect<A, GcsFault, R> {
  return Effect.suspend(() => {
    let isFirst = true
    const rest = Effect.suspend((): Effect.Effect<A, GcsFault, R> => {
      if (!isFirst) return effect
      isFirst = false
      return Effect.fail(fault)
    })
    return retry(limits, rest)
  })
}
