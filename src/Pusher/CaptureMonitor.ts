/** The state of the open captures and of the node's bounds. Sampled on request, at most twice a second. */
import { Clock, Context, Effect, Layer, Metric, Stream } from "effect"
import type { Scope } from "effect"
import type { NoSeat } from "../Bulkhead.ts"
import { type FailedCheck, Readiness } from "../Readiness.ts"
import { type CaptureStats, Recording } from "../Recording.ts"
import { PusherConfig } from "./PusherConfig.ts"
import { ViewerSeats } from "./ViewerSeats.ts"

export interface Bound {
  readonly name: string
  readonly unit: "count" | "bytes"
  readonly used: number
  readonly limit: number
  readonly waiting: number
}

export interface NodeState {
  readonly captures: number
  readonly bytesPerSecond: number
  readonly bounds: ReadonlyArray<Bound>
  /** What was lost, deferred or rejected since the start, by label. */
  readonly troubles: ReadonlyArray<{ readonly name: string; readonly count: number }>
  readonly failing: ReadonlyArray<FailedCheck>
  readonly memory: { readonly rss: number; readonly heap: number; readonly external: number }
  readonly store: StoreUse
}

/** Use of the object store since the start, and what it was for. `classA`, `classB`: operations, as stores bill them. */
export interface StoreUse {
  readonly classA: number
  readonly classB: number
  readonly readBytes: number
  readonly writtenBytes: number
  readonly audioSeconds: number
}

export interface CapturesSnapshot {
  /** Unix milliseconds. */
  readonly at: number
  /** All captures. If `captures` has fewer, it has those with the longest lags and queues. */
  readonly total: number
  readonly captures: ReadonlyArray<CaptureStats>
  readonly node: NodeState | undefined
}

/** `uid`: captures of this user only. `node`: include the state of the node. */
export interface View {
  readonly uid: string | undefined
  readonly node: boolean
}

export class CaptureMonitor extends Context.Service<
  CaptureMonitor,
  {
    now(view: View): Effect.Effect<CapturesSnapshot>
    /** One a second until the node drains; a slow reader gets fewer. Takes a seat of the user `by` until the scope closes. */
    events(view: View, by: string): Effect.Effect<Stream.Stream<CapturesSnapshot>, NoSeat, Scope.Scope>
  }
>()("spillway/Pusher/CaptureMonitor") {
  static readonly layer = Layer.effect(
    CaptureMonitor,
    Effect.suspend(() => make)
  )
}

/** How long a sample is reused, so that many viewers cost as much as one. */
const cacheMillis = 450

/** Counters that stay constant on a healthy node, with their labels. */
const troubles: Readonly<Record<string, string>> = {
  spillway_upload_deferred_total: "chunks deferred",
  spillway_upload_failed_total: "uploads failed",
  spillway_lost_seconds_total: "seconds lost",
  spillway_live_dropped_segments_total: "transcript segments dropped",
  spillway_bulkhead_rejected_total: "operations rejected",
  spillway_relay_dropped_total: "relayed messages dropped",
  spillway_journal_torn_segments_total: "torn journal segments"
}

/** Merges of audio files by outcome; the others are successes, or another node's. */
const merges: Readonly<Record<string, string>> = { failed: "merges failed", dead: "merges given up" }

/** Rejected captures have a label of their own, because users notice them. */
const nameOf = ({ attributes, id }: Metric.Metric.Snapshot): string | undefined => {
  if (attributes?.["bulkhead"] === "captures" && id === "spillway_bulkhead_rejected_total") return "captures rejected"
  if (id === "spillway_precache_merges_total") return merges[attributes?.["outcome"] ?? ""]
  return troubles[id]
}

const valueOf = ({ state }: Metric.Metric.Snapshot): number => {
  if ("count" in state) return Number(state.count)
  return "value" in state ? Number(state.value) : 0
}

const countTroubles = (metrics: ReadonlyArray<Metric.Metric.Snapshot>): NodeState["troubles"] => {
  const counts = new Map(
    ["captures rejected", ...Object.values(troubles), ...Object.values(merges)].map((name) => [name, 0])
  )
  for (const metric of metrics) {
    const name = nameOf(metric)
    if (name !== undefined) counts.set(name, (counts.get(name) ?? 0) + valueOf(metric))
  }
  return [...counts].map(([name, count]) => ({ name, count }))
}

/** Bulkheads and seats, from their metrics. */
const bulkheads = (metrics: ReadonlyArray<Metric.Metric.Snapshot>): ReadonlyArray<Bound> => {
  const of = (id: string) =>
    new Map(
      metrics
        .filter((metric) => metric.id === `spillway_bulkhead_${id}`)
        .map((metric) => [metric.attributes?.["bulkhead"] ?? "", valueOf(metric)])
    )
  const [permits, active, waiting] = [of("permits"), of("active"), of("waiting")]
  return [...permits].sort().map(([name, limit]) => ({
    name,
    unit: "count",
    used: active.get(name) ?? 0,
    limit,
    waiting: waiting.get(name) ?? 0
  }))
}

/** Audio files that are merged at a time. */
const precache = (metrics: ReadonlyArray<Metric.Metric.Snapshot>): ReadonlyArray<Bound> => {
  const of = (name: string) => metrics.find(({ id }) => id === `spillway_precache_${name}`)
  const [permits, active, waiting] = [of("permits"), of("active"), of("waiting")]
  if (permits === undefined) return []
  const [used, queued] = [active, waiting].map((metric) => (metric === undefined ? 0 : valueOf(metric)))
  return [{ name: "precache", unit: "count", used: used ?? 0, limit: valueOf(permits), waiting: queued ?? 0 }]
}

const storeUse = (metrics: ReadonlyArray<Metric.Metric.Snapshot>): StoreUse => {
  const sumOf = (name: string, ofClass?: string) =>
    metrics.reduce((sum, metric) => {
      const isMeant = metric.id === `spillway_${name}_total` && metric.attributes?.["class"] === ofClass
      return isMeant ? sum + valueOf(metric) : sum
    }, 0)
  return {
    classA: sumOf("storage_operations", "a"),
    classB: sumOf("storage_operations", "b"),
    readBytes: sumOf("storage_read_bytes"),
    writtenBytes: sumOf("storage_written_bytes"),
    audioSeconds: sumOf("upload_audio_seconds")
  }
}

/** Order of the captures that are shown: most deferred chunks first, then most queued ones, then the longest lags. */
const bySeverity = (a: CaptureStats, b: CaptureStats): number =>
  b.deferred - a.deferred || b.queued - a.queued || b.ackLag - a.ackLag || b.uploadLag - a.uploadLag

const make = Effect.gen(function* () {
  const config = yield* PusherConfig
  const recording = yield* Recording
  const readiness = yield* Readiness
  const clock = yield* Clock.Clock
  const seats = yield* ViewerSeats
  let cached:
    | { readonly at: number; readonly captures: ReadonlyArray<CaptureStats>; readonly node: NodeState }
    | undefined

  const sample = Effect.gen(function* () {
    const at = clock.currentTimeMillisUnsafe()
    if (cached !== undefined && at - cached.at < cacheMillis) return cached
    const metrics = yield* Metric.snapshot
    const captures = recording.captures()
    const journal = recording.journal()
    const uploads = recording.uploads()
    const memory = process.memoryUsage()
    const { degraded, failing } = yield* readiness.status
    const node: NodeState = {
      captures: captures.length,
      bytesPerSecond: captures.reduce((sum, { bytesPerSecond }) => sum + bytesPerSecond, 0),
      bounds: [
        ...bulkheads(metrics),
        ...precache(metrics),
        { name: "journal", unit: "bytes", used: journal.bytes, limit: journal.budget, waiting: 0 },
        { name: "uploads", unit: "count", used: uploads.active, limit: uploads.limit, waiting: uploads.queued }
      ],
      troubles: countTroubles(metrics),
      failing: [...failing, ...degraded],
      store: storeUse(metrics),
      memory: { rss: memory.rss, heap: memory.heapUsed, external: memory.external }
    }
    cached = { at, captures, node }
    return cached
  })

  const now = Effect.fnUntraced(function* ({ node, uid }: View) {
    const found = yield* sample
    const all = uid === undefined ? found.captures : found.captures.filter((capture) => capture.uid === uid)
    const shown = all.length <= config.capturesShown ? all : all.toSorted(bySeverity).slice(0, config.capturesShown)
    return { at: found.at, total: all.length, captures: shown, node: node ? found.node : undefined }
  })

  return CaptureMonitor.of({
    now,
    events: (view, by) =>
      Effect.as(
        seats.take(by),
        Stream.tick("1 second").pipe(
          Stream.mapEffect(() => now(view)),
          Stream.interruptWhen(readiness.draining)
        )
      )
  })
})
