/** The one policy for requests to Google Cloud Storage: how long they may take, and when they are made again. */
import { Clock, Duration, Effect, Schedule } from "effect"
import type { GcsConfig } from "./GcsConfig.ts"
import { cut } from "./GcsFault.ts"
import type { GcsFault } from "./GcsFault.ts"

export type Limits = Pick<
  GcsConfig["Service"],
  "attemptTimeout" | "stallTimeout" | "deadline" | "retryBase" | "retryCap"
>

/** To be called whenever bytes moved. */
export type Moved = () => void

/** Fails when nothing has moved for the stall timeout, or after the attempt timeout in all. Cuts what `use` does then. */
export const attempt = <A, E, R>(
  limits: Limits,
  use: (moved: Moved) => Effect.Effect<A, E, R>
): Effect.Effect<A, E | GcsFault, R> =>
  Clock.clockWith((clock) => {
    const stall = Duration.toMillis(limits.stallTimeout)
    const start = clock.currentTimeMillisUnsafe()
    const end = start + Duration.toMillis(limits.attemptTimeout)
    let last = start
    const watch: Effect.Effect<never, GcsFault> = Effect.suspend(() => {
      const now = clock.currentTimeMillisUnsafe()
      if (now >= end) return Effect.fail(cut(`cut after ${Duration.format(limits.attemptTimeout)}`))
      if (now >= last + stall) return Effect.fail(cut(`no progress for ${Duration.format(limits.stallTimeout)}`))
      return Effect.andThen(Effect.sleep(Math.min(last + stall, end) - now), watch)
    })
    const moved = () => {
      last = clock.currentTimeMillisUnsafe()
    }
    return Effect.raceFirst(use(moved), watch)
  })

/** Waits between attempts: one after the other, twice as long each, up to the cap, varied by a fifth. */
export const delays = ({ retryBase, retryCap }: Limits) =>
  Schedule.min([Schedule.exponential(retryBase), Schedule.spaced(retryCap)]).pipe(Schedule.jittered)

/** Again and again while the fault is transient and the deadline has not passed, which also cuts what goes on then. */
export const retry = <A, R>(limits: Limits, effect: Effect.Effect<A, GcsFault, R>): Effect.Effect<A, GcsFault, R> =>
  Effect.suspend(() => {
    let reason = "no answer"
    const schedule = delays(limits).pipe(
      Schedule.setInputType<GcsFault>(),
      Schedule.while(({ input }) => {
        reason = input.message
        return input.isTransient
      })
    )
    return Effect.timeoutOrElse(Effect.retry(effect, schedule), {
      duration: limits.deadline,
      orElse: () => Effect.fail(cut(`${reason}; given up after ${Duration.format(limits.deadline)}`))
    })
  })

/** Goes on after a fault of the first attempt, which was made without this policy. */
export const retryAfter = <A, R>(
  limits: Limits,
  fault: GcsFault,
  effect: Effect.Effect<A, GcsFault, R>
): Effect.Effect<A, GcsFault, R> =>
  Effect.suspend(() => {
    let isFirst = true
    const rest = Effect.suspend((): Effect.Effect<A, GcsFault, R> => {
      if (!isFirst) return effect
      isFirst = false
      return Effect.fail(fault)
    })
    return retry(limits, rest)
  })
