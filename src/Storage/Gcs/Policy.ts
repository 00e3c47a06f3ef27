/** The retry policy of all operations on Google Cloud Storage: deadline and backoff. */
import { Duration, Effect, Metric, Schedule } from "effect"
import type { GcsConfig } from "./GcsConfig.ts"
import { transient } from "./Fault.ts"
import type { GcsFault } from "./Fault.ts"
import * as StorageMetrics from "../StorageMetrics.ts"

export type Limits = Pick<GcsConfig["Service"], "deadline" | "retryBase" | "retryCap">

/** Exponential backoff: doubles up to the cap, with 20 % jitter. */
const delays = ({ retryBase, retryCap }: Limits) =>
  Schedule.min([Schedule.exponential(retryBase), Schedule.spaced(retryCap)]).pipe(Schedule.jittered)

/** Retries transient faults until the deadline, which also interrupts a running attempt. */
export function retry<A, R>(limits: Limits, effect: Effect.Effect<A, GcsFault, R>): Effect.Effect<A, GcsFault, R> {
  return Effect.suspend(() => {
    let reason = "no response"
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

/** Continues with retries after a first attempt that ran without this policy and failed. */
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
