/** How the open captures and the node's bounds are doing: looked at when somebody asks, at most twice a second. */
import { Clock, Context, Effect, Layer, Metric, Stream } from "effect"
import type { Scope } from "effect"
import { type NoSeat, Seats } from "../Bulkhead.ts"
import { type FailedCheck, Readiness } from "../Readiness.ts"
import { type CaptureStats, Recording } from "../Recording.ts"
import { PusherConfig } from "./PusherConfig.ts"

/** Something that has a limit. */
export interface Bound {
  readonly name: string
  readonly unit: "count" | "bytes"
  readonly used: number
  readonly limit: number
  /** What waits for it. */
  readonly waiting: number
}

export interface NodeState {
  readonly captures: number
  readonly bytesPerSecond: number
  readonly bounds: ReadonlyArray<Bound>
  /** Since the start, whatever was dropped, deferred or turned away, by what it is called. */
  readonly troubles: ReadonlyArray<{ readonly name: string; readonly count: number }>
  readonly failing: ReadonlyArray<FailedCheck>
  readonly memory: { readonly rss: number; readonly heap: number; readonly external: number }
}

export interface CapturesNow {
  /** Unix milliseconds. */
  readonly at: number
  /** Captures that there are; those with the most trouble are among `captures` when not all are. */
  readonly total: number
  readonly captures: ReadonlyArray<CaptureStats>
  readonly node: NodeState | undefined
}

/** `uid`: of this user only. `node`: with the state of the node. */
export interface View {
  readonly uid: string | undefined
  readonly node: boolean
}

export class Captures extends Context.Service<
  Captures,
  {
    now(view: View): Effect.Effect<CapturesNow>
    /** Once a second until the node drains, `by` this user, counted as long as the scope. A slow reader is sent fewer. */
    events(view: View, by: string): Effect.Effect<Stream.Stream<CapturesNow>, NoSeat, Scope.Scope>
  }
>()("spillway/Pusher/Captures") {
  static readonly layer = Layer.effect(
    Captures,
    Effect.suspend(() => make)
  )
}

const keptMillis = 450

/** Counters that should stay where they are, by what people call them. */
const troubles: Readonly<Record<string, string>> = {
  spillway_upload_deferred_total: "chunks deferred",
  spillway_upload_failed_total: "uploads put off",
  spillway_lost_seconds_total: "seconds lost",
  spillway_bulkhead_rejected_total: "operations turned away",
  spillway_journal_torn_total: "torn journal segments"
}

/** Captures are what users notice. */
const nameOf = ({ attributes, id }: Metric.Metric.Snapshot): string | undefined =>
  attributes?.["bulkhead"] === "captures" && id === "spillway_bulkhead_rejected_total"
    ? "captures refused"
    : troubles[id]

const valueOf = ({ state }: Metric.Metric.Snapshot): number => {
  if ("count" in state) return Number(state.count)
  return "value" in state ? Number(state.value) : 0
}

const countTroubles = (metrics: ReadonlyArray<Metric.Metric.Snapshot>): NodeState["troubles"] => {
  const counts = new Map(["captures refused", ...Object.values(troubles)].map((name) => [name, 0]))
  for (const metric of metrics) {
    const name = nameOf(metric)
    if (name !== undefined) counts.set(name, (counts.get(name) ?? 0) + valueOf(metric))
  }
  return [...counts].map(([name, count]) => ({ name, count }))
}

/** Every bulkhead is in the metrics, with its name as an attribute; so are seats. */
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

const trouble = ({ ackLag, deferred, queued, uploadLag }: CaptureStats): number =>
  deferred * 1000 + queued * 10 + ackLag + uploadLag / 60

const make = Effect.gen(function* () {
  const config = yield* PusherConfig
  const recording = yield* Recording
  const readiness = yield* Readiness
  const clock = yield* Clock.Clock
  const { viewers, viewersPerUser } = PusherConfig.settings
  const seats = yield* Seats.make("live views", {
    node: { limit: config.viewers, setting: viewers.env },
    user: { limit: config.viewersPerUser, setting: viewersPerUser.env }
  })
  let kept:
    | { readonly at: number; readonly captures: ReadonlyArray<CaptureStats>; readonly node: NodeState }
    | undefined

  const look = Effect.gen(function* () {
    const at = clock.currentTimeMillisUnsafe()
    if (kept !== undefined && at - kept.at < keptMillis) return kept
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
        { name: "journal", unit: "bytes", used: journal.bytes, limit: journal.budget, waiting: 0 },
        { name: "uploads", unit: "count", used: uploads.active, limit: uploads.limit, waiting: uploads.queued }
      ],
      troubles: countTroubles(metrics),
      failing: [...failing, ...degraded],
      memory: { rss: memory.rss, heap: memory.heapUsed, external: memory.external }
    }
    kept = { at, captures, node }
    return kept
  })

  const now = Effect.fnUntraced(function* ({ node, uid }: View) {
    const found = yield* look
    const all = uid === undefined ? found.captures : found.captures.filter((capture) => capture.uid === uid)
    const shown =
      all.length <= config.capturesShown
        ? all
        : [...all].sort((a, b) => trouble(b) - trouble(a)).slice(0, config.capturesShown)
    return { at: found.at, total: all.length, captures: shown, node: node ? found.node : undefined }
  })

  return Captures.of({
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
