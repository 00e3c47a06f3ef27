/** Histograms of durations in seconds, as Prometheus expects them. `Metric.timer` exports milliseconds without their unit. */
import { Duration, Effect, Metric } from "effect"

/** Seconds: 1 ms to the longest deadline of an operation. */
const boundaries = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60]

/** `name` ends in `_seconds`. Values are seconds. */
export function make(name: string, description: string) {
  return Metric.histogram(name, { description, boundaries })
}

/** Records how long an effect takes, however it exits. */
export function track(histogram: ReturnType<typeof make>) {
  return Effect.trackDuration(histogram, Duration.toSeconds)
}
