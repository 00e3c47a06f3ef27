/** Metrics of the object store. */
import { Metric } from "effect"

const seconds = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60]

export const duration = Metric.histogram("spillway_storage_operation_seconds", {
  description: "Duration of operations on the object store, retries included; for reads, time to the first byte",
  boundaries: seconds
})
const counter = (name: string, description: string) => Metric.counter(name, { description, incremental: true })

export const readBytes = counter("spillway_storage_read_bytes_total", "Bytes read from the object store")
export const writtenBytes = counter("spillway_storage_written_bytes_total", "Bytes written to the object store")
export const retries = counter("spillway_storage_retries_total", "Requests to the object store that were retried")
export const damaged = counter(
  "spillway_storage_integrity_failures_total",
  "Reads that failed the checksum of the object"
)
