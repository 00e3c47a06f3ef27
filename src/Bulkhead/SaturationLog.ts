/** Metrics of a bulkhead, and warnings while it is full. */
import { Duration, Effect, Metric, Schedule } from "effect"
import type { Context } from "effect"
import type { Stats } from "./Bulkhead.ts"

const gauges = {
  permits: Metric.gauge("spillway_bulkhead_permits", { description: "Concurrent runs allowed" }),
  active: Metric.gauge("spillway_bulkhead_active", { description: "Running, each with a permit" }),
  waiting: Metric.gauge("spillway_bulkhead_waiting", { description: "Runs waiting for a permit" })
}

const counters = {
  waits: Metric.counter("spillway_bulkhead_waits_total", { description: "Runs that had to wait for a permit" }),
  waitedSeconds: Metric.counter("spillway_bulkhead_waited_seconds_total", {
    description: "Time that runs waited for a permit"
  }),
  rejected: Metric.counter("spillway_bulkhead_rejected_total", {
    description: "Runs rejected because the queue was full"
  })
}

const ignored = { update: () => {}, modify: () => {} }

/** Values are computed when the metrics are read, so they add no cost to runs. */
const register = (context: Context.Context<never>, stats: () => Stats) => {
  const now = () => {
    const { waited, ...rest } = stats()
    return { ...rest, waitedSeconds: Duration.toSeconds(waited) }
  }
  return [
    Metric.registerUnsafe(gauges.permits, context, { ...ignored, get: () => ({ value: now().permits }) }),
    Metric.registerUnsafe(gauges.active, context, { ...ignored, get: () => ({ value: now().active }) }),
    Metric.registerUnsafe(gauges.waiting, context, { ...ignored, get: () => ({ value: now().waiting }) }),
    Metric.registerUnsafe(counters.waits, context, {
      ...ignored,
      get: () => ({ count: now().waits, incremental: true })
    }),
    Metric.registerUnsafe(counters.waitedSeconds, context, {
      ...ignored,
      get: () => ({ count: now().waitedSeconds, incremental: true })
    }),
    Metric.registerUnsafe(counters.rejected, context, {
      ...ignored,
      get: () => ({ count: now().rejected, incremental: true })
    })
  ]
}

/** Metrics with the attribute `bulkhead`; a warning each `every` while work waits or was rejected. Ends with the scope. */
export const saturationLog = Effect.fnUntraced(function* (name: string, every: Duration.Duration, stats: () => Stats) {
  const context = yield* Effect.context<never>().pipe(
    Effect.provideServiceEffect(
      Metric.CurrentMetricAttributes,
      Effect.map(Metric.CurrentMetricAttributes, (attributes) => ({ ...attributes, bulkhead: name }))
    )
  )
  yield* Effect.acquireRelease(
    Effect.sync(() => register(context, stats)),
    (registrations) => Effect.sync(() => registrations.forEach((each) => each.remove()))
  )
  let rejectedBefore = 0
  const check = Effect.suspend(() => {
    const { active, permits, rejected, waiting } = stats()
    const rejectedNow = rejected - rejectedBefore
    rejectedBefore = rejected
    return waiting > 0 || rejectedNow > 0
      ? Effect.logWarning("a bulkhead is full").pipe(
          Effect.annotateLogs({ bulkhead: name, permits, active, waiting, rejected: rejectedNow })
        )
      : Effect.void
  })
  yield* Effect.forkScoped(Effect.repeat(Effect.delay(check, every), Schedule.forever))
})
