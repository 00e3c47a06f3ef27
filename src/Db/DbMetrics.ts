/** What `/metrics` tells of the database. */
import { Context, Metric } from "effect"
import type * as Fault from "./Fault.ts"

/** Operations are constants of the source, some hundred; more than this many would be a mistake, and are counted as one. */
const maxOperations = 500

const seconds = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60]

const duration = Metric.histogram("spillway_db_operation_seconds", {
  description: "Time of an operation on the database, with waiting and retries",
  boundaries: seconds
})
const retries = Metric.counter("spillway_db_retries_total", {
  description: "Operations on the database that were tried again",
  incremental: true
})
const faults = Metric.counter("spillway_db_faults_total", {
  description: "Attempts on the database that failed, by class of failure",
  incremental: true
})
const active = Metric.gauge("spillway_db_pool_active", { description: "Operations that have a connection" })
const waiting = Metric.gauge("spillway_db_pool_waiting", { description: "Operations that wait for a connection" })
const capacity = Metric.gauge("spillway_db_pool_capacity", { description: "Connections there may be" })

export interface DbMetrics {
  /** Sampled, as it changes with every query. */
  readonly pool: (use: { readonly active: number; readonly waiting: number }) => void
  readonly onEnd: (operation: string, millis: number) => void
  readonly onRetry: (operation: string, fault: Fault.Fault) => void
  readonly onFault: (operation: string, fault: Fault.Fault) => void
}

/** Metrics are kept in `context`, and updated synchronously: they are part of every query. */
export function make(pool: number, context: Context.Context<never>): DbMetrics {
  const byOperation = new Map<string, Metric.Metric<number, unknown>>()
  const timer = (operation: string): Metric.Metric<number, unknown> => {
    const known = byOperation.get(operation)
    if (known !== undefined) return known
    const name = byOperation.size < maxOperations ? operation : "other"
    const made = Metric.withAttributes(duration, { operation: name })
    byOperation.set(name, made)
    return made
  }
  capacity.updateUnsafe(pool, context)
  return {
    pool: (use) => {
      active.updateUnsafe(use.active, context)
      waiting.updateUnsafe(use.waiting, context)
    },
    onEnd: (operation, millis) => timer(operation).updateUnsafe(millis / 1000, context),
    onRetry: (_operation, fault) => Metric.withAttributes(retries, { fault }).updateUnsafe(1, context),
    onFault: (_operation, fault) => Metric.withAttributes(faults, { fault }).updateUnsafe(1, context)
  }
}
