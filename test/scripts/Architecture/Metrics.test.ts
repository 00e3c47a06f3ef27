/** Names of metrics. */
import { file, suite } from "../../support/RuleCases.ts"

suite("Metrics", [
  {
    rule: "metric-name",
    promise: "refuses a counter whose name does not end in _total",
    bad: { "src/A.ts": file('const a = Metric.counter("process_cpu_seconds")') },
    where: "src/A.ts:2",
    good: { "src/A.ts": file('const a = Metric.counter("process_cpu_seconds_total")') }
  },
  {
    rule: "metric-name",
    promise: "refuses a gauge whose name ends in _total",
    bad: { "src/A.ts": file('const a = gauge("waiting_total", "Waiting")') },
    where: "src/A.ts:2",
    good: { "src/A.ts": file('const a = gauge("waiting", "Waiting")') }
  },
  {
    rule: "metric-name",
    promise: "refuses a histogram whose name does not end in its unit",
    bad: { "src/A.ts": file('const a = DurationHistogram.make("upload_duration", "Uploads")') },
    where: "src/A.ts:2",
    good: {
      "src/A.ts": file('const a = DurationHistogram.make("upload_seconds", "Uploads")'),
      "src/B.ts": file('const b = Metric.histogram("chunk_bytes", { boundaries })')
    }
  },
  {
    rule: "metric-name",
    promise: "refuses timers, which export milliseconds without saying so",
    bad: { "src/A.ts": file('const a = Metric.timer("upload_seconds")') },
    where: "src/A.ts:2",
    good: { "test/A.ts": file('const a = Metric.timer("upload_seconds")') }
  }
])
