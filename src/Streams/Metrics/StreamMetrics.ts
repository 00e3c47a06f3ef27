/** Live metrics of streams: measured on each node, written every few seconds, and cached where they are read. */
import { Cache, Clock, Context, Duration, Effect, Exit, Layer, Metric, MutableHashMap, Option } from "effect"
import * as BackgroundLoop from "../../BackgroundLoop.ts"
import { callerOf, DbCaller, type DbError, ingestCaller } from "../../Db.ts"
import { Recording } from "../../Recording.ts"
import { Audience } from "../Audience.ts"
import { LiveCaptures } from "../Broadcasts/LiveCaptures.ts"
import type { Stream } from "../Stream.ts"
import { StreamsConfig } from "../StreamsConfig.ts"
import { type Figures, MetricRows } from "./MetricRows.ts"

/** Streams in the cache. At the bound, expired ones are evicted, then the one that was read longest ago. */
const capacity = 1_000

const timeToLive = Duration.seconds(3)

export interface ChatFigures {
  readonly messagesPerMinute: number
}

export interface Measured extends Figures {
  readonly stream: Stream
  /** None without a chat. */
  readonly chat: ChatFigures | undefined
  /** Unix milliseconds. */
  readonly at: number
}

export type ChatSource = (stream: Stream) => Effect.Effect<ChatFigures, DbError>

export class StreamMetrics extends Context.Service<
  StreamMetrics,
  {
    /** Cached for 3 seconds. Readers who wait share one query. None without such a stream. */
    get(slug: string): Effect.Effect<Option.Option<Measured>, DbError>
    /** Sets the source of the figures of chats. */
    measureChatBy(source: ChatSource): Effect.Effect<void>
  }
>()("spillway/Streams/Metrics/StreamMetrics") {
  static readonly layerNoDeps = Layer.effect(
    StreamMetrics,
    Effect.suspend(() => make)
  )
  static readonly layer = this.layerNoDeps.pipe(Layer.provide(MetricRows.layer))
}

/** The caller of queries that many readers share. It is not the id of a user, whose turns they would take. */
const sharedCaller = callerOf("(metrics of streams)")

const lookupsTotal = Metric.counter("spillway_stream_metrics_lookups_total", {
  description: "Queries for the metrics of a stream; requests that share one, or find it in the cache, make none",
  incremental: true
})

const make = Effect.gen(function* () {
  const rows = yield* MetricRows
  const captures = yield* LiveCaptures
  const audience = yield* Audience
  const recording = yield* Recording
  const config = yield* StreamsConfig
  let chatSource: ChatSource | undefined

  const queuesOf = (name: { readonly uid: string; readonly conversation: string } | undefined) => {
    const open = recording
      .captures()
      .filter(({ conversation, uid }) => uid === name?.uid && conversation === name.conversation)
    return {
      queued: open.reduce((sum, { queued }) => sum + queued, 0),
      deferred: open.reduce((sum, { deferred }) => sum + deferred, 0)
    }
  }

  const measure = () => {
    const listeners = audience.counts()
    return [...new Set([...captures.streams(), ...listeners.keys()])].map((stream) => {
      const live = captures.find(stream)
      return { stream, bitrate: live?.bitrate ?? 0, listeners: listeners.get(stream) ?? 0, ...queuesOf(live) }
    })
  }
  let wasEmpty = true
  const write = Effect.suspend(() => {
    const measured = measure()
    const isNeeded = measured.length > 0 || !wasEmpty
    wasEmpty = measured.length === 0
    return isNeeded ? rows.write(measured) : Effect.void
  })
  yield* BackgroundLoop.every(
    config.heartbeat,
    Effect.provideService(write, DbCaller, ingestCaller),
    "metrics of streams could not be written"
  )

  const lookup = Effect.fnUntraced(
    function* (slug: string) {
      yield* Metric.update(lookupsTotal, 1)
      const found = Option.getOrUndefined(yield* rows.read(slug))
      if (found === undefined) return Option.none<Measured>()
      const { figures, stream } = found
      const chat = chatSource === undefined ? undefined : yield* chatSource(stream)
      return Option.some({ ...figures, stream, chat, at: yield* Clock.currentTimeMillis })
    },
    Effect.provideService(DbCaller, sharedCaller)
  )
  const cache = yield* Cache.makeWith(lookup, {
    capacity,
    timeToLive: (exit) => (Exit.isSuccess(exit) ? timeToLive : Duration.zero)
  })

  const evictExpired = (now: number) => {
    for (const [slug, { expiresAt = Infinity }] of cache.map)
      if (expiresAt <= now) MutableHashMap.remove(cache.map, slug)
  }

  return StreamMetrics.of({
    get: (slug) =>
      Effect.flatMap(Clock.currentTimeMillis, (now) => {
        if (MutableHashMap.size(cache.map) >= capacity && !MutableHashMap.has(cache.map, slug)) evictExpired(now)
        return Cache.get(cache, slug)
      }),
    measureChatBy: (source) =>
      Effect.sync(() => {
        chatSource = source
      })
  })
})
