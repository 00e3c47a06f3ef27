/** Metrics of the database. */
import { Context, Metric } from "effect"
import * as DurationHistogram from "../DurationHistogram.ts"
import type * as Fault from "./Fault.ts"

/** Bound of operation names, which are about a hundred constants in the source. Further ones count as `other`. */
const maxOperations = 500

const duration = DurationHistogram.make(
  "spillway_db_operation_seconds",
  "Duration of database operations, queueing and retries included"
)
const retries = Metric.counter("spillway_db_retries_total", {
  description: "Database operations that were retried",
  incremental: true
})
const faults = Metric.counter("spillway_db_faults_total", {
  description: "Failed attempts of database operations, by class of failure",
  incremental: true
})
const active = Metric.gauge("spillway_db_pool_active", { description: "Operations that hold a connection" })
const waiting = Metric.gauge("spillway_db_pool_waiting", { description: "Operations that wait for a connection" })
const capacity = Metric.gauge("spillway_db_pool_capacity", { description: "Largest number of connections" })

/** Receives the events of operations. Called synchronously; must neither throw nor block. */
export interface Observer {
  readonly onEnd: (operation: string, millis: number) => void
  readonly onRetry: (operation: string, fault: Fault.Fault) => void
  readonly onFault: (operation: string, fault: Fault.Fault) => void
}

export interface DbMetrics extends Observer {
  /** Sampled, because it changes with every query. */
  readonly pool: (use: { readonly active: number; readonly waiting: number }) => void
}

/** Updates the metrics in `context` synchronously, because every query does so. */
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
