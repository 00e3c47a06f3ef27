/** `/metrics` in the text format of Prometheus, with metrics of the process that are sampled at each scrape. */
import { monitorEventLoopDelay } from "node:perf_hooks"
import { Effect, Metric } from "effect"
import { HttpRouter, HttpServerResponse } from "effect/http"
import { PrometheusMetrics } from "effect/observability"

const gauge = (name: string, description: string) => Metric.gauge(name, { description })

const rss = gauge("process_resident_memory_bytes", "Resident memory of the process")
const heap = gauge("nodejs_heap_size_used_bytes", "JavaScript heap in use")
const external = gauge("nodejs_external_memory_bytes", "Memory of buffers outside the JavaScript heap")
const resources = gauge(
  "nodejs_active_resources",
  "Sockets, timers, requests and others that keep the event loop alive"
)
const started = gauge("process_start_time_seconds", "Unix time at which the process started")
const lagMean = gauge("nodejs_eventloop_lag_mean_seconds", "Mean delay of the event loop since the last scrape")
const lagP99 = gauge(
  "nodejs_eventloop_lag_p99_seconds",
  "99th percentile of the delay of the event loop since the last scrape"
)
const lagMax = gauge("nodejs_eventloop_lag_max_seconds", "Longest delay of the event loop since the last scrape")
const cpu = Metric.counter("process_cpu_seconds_total", {
  description: "CPU time used since the start",
  incremental: true
})

/** Interval of the timer whose delay is measured. */
const resolutionMillis = 20

const lagMonitor = Effect.acquireRelease(
  Effect.sync(() => {
    const histogram = monitorEventLoopDelay({ resolution: resolutionMillis })
    histogram.enable()
    return histogram
  }),
  (histogram) => Effect.sync(() => histogram.disable())
)

export const layer = HttpRouter.use(
  Effect.fnUntraced(function* (router) {
    const lag = yield* lagMonitor
    /** The histogram has the intervals between the timer's runs; the excess is the delay. */
    const delay = (nanos: number) => (Number.isFinite(nanos) ? Math.max(0, nanos / 1e9 - resolutionMillis / 1e3) : 0)
    let cpuSeconds = 0
    const sample = Effect.gen(function* () {
      const memory = process.memoryUsage()
      const { system, user } = process.cpuUsage()
      yield* Metric.update(rss, memory.rss)
      yield* Metric.update(heap, memory.heapUsed)
      yield* Metric.update(external, memory.external)
      const used = (system + user) / 1e6 - cpuSeconds
      cpuSeconds += used
      yield* Metric.update(cpu, used)
      yield* Metric.update(resources, process.getActiveResourcesInfo().length)
      yield* Metric.update(started, performance.timeOrigin / 1000)
      yield* Metric.update(lagMean, delay(lag.mean))
      yield* Metric.update(lagP99, delay(lag.percentile(99)))
      yield* Metric.update(lagMax, delay(lag.max))
      lag.reset()
    })
    const contentType = "text/plain; version=0.0.4; charset=utf-8"
    yield* router.add(
      "GET",
      "/metrics",
      Effect.map(Effect.andThen(sample, PrometheusMetrics.format()), (text) =>
        HttpServerResponse.text(text, { contentType })
      )
    )
  })
)
