/** Metrics of the object store. */
import { Metric } from "effect"
import * as DurationHistogram from "../DurationHistogram.ts"

export const duration = DurationHistogram.make(
  "spillway_storage_operation_seconds",
  "Duration of operations on the object store, retries included; for reads, time to the first byte"
)
const counter = (name: string, description: string) => Metric.counter(name, { description, incremental: true })

export const readBytes = counter("spillway_storage_read_bytes_total", "Bytes read from the object store")
export const writtenBytes = counter("spillway_storage_written_bytes_total", "Bytes written to the object store")
/** By what stores charge for: `a` writes and lists, `b` reads, `free` deletions. Retries are not included. */
export const operations = counter(
  "spillway_storage_operations_total",
  "Operations on the object store by class: a (writes, compositions, lists), b (reads), free (deletions)"
)
export const retries = counter("spillway_storage_retries_total", "Requests to the object store that were retried")
export const damaged = counter(
  "spillway_storage_integrity_failures_total",
  "Reads that failed the checksum of the object"
)
