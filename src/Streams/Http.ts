/** `/api/v1/studio/streams`. */
import { DateTime, Effect, Layer, Option, Redacted, Stream } from "effect"
import { HttpServerRequest } from "effect/http"
import { HttpApiBuilder } from "effect/http-api"
import { Authentication, manager, Principal, Visitor } from "../Auth.ts"
import { type NoSeat, Seats } from "../Bulkhead.ts"
import { Problem, ProblemRules, RangeRequest, ResponseBody, rule } from "../Http.ts"
import { Readiness } from "../Readiness.ts"
import { noStream, Streams } from "../Streams.ts"
import { type MetricsInfo, StreamsApi, type StreamInfo } from "./Api.ts"
import * as AudioHttp from "./Audio/Http.ts"
import type { Measured } from "./Metrics/StreamMetrics.ts"
import type * as Channel from "./Stream.ts"
import { StreamsConfig } from "./StreamsConfig.ts"
import { SlugTaken, StreamChanged, TooManyStreams } from "./StreamRows.ts"

const defaultLimit = 20

/** As long as metrics are cached. */
const eventsEvery = "3 seconds"

const tooManyViewers = ({ limit }: NoSeat) =>
  Problem.unavailable(
    "stream-events",
    "The node has too many viewers",
    `It allows ${limit} responses of events at once. Try another node, or read \`/metrics\`.`,
    5
  )

const info = ({ role, stream }: Channel.StreamFor): StreamInfo => ({
  slug: stream.slug,
  uid: stream.uid,
  title: stream.title,
  description: stream.description,
  visibility: stream.visibility,
  chat: { enabled: stream.chatEnabled, slow_mode_seconds: stream.slowModeSeconds },
  live:
    stream.live === undefined
      ? null
      : {
          broadcast: stream.live.id,
          started_at: DateTime.fromDateUnsafe(stream.live.startedAt),
          reconnecting: stream.live.leftAt !== undefined,
          conversation_id: role === "reader" ? null : stream.live.conversation
        },
  created_at: DateTime.fromDateUnsafe(stream.createdAt)
})

const metricsInfo = (found: Channel.StreamFor & { readonly measured: Measured }): MetricsInfo => {
  const { at, bitrate, chat, deferred, listeners, queued } = found.measured
  return {
    at: DateTime.makeUnsafe(at),
    live: info(found).live,
    bitrate: Math.round(bitrate),
    listeners,
    chat: chat === undefined ? null : { messages_per_minute: chat.messagesPerMinute },
    queues: found.role === "reader" ? null : { queued, deferred }
  }
}

const ownInfo = (stream: Channel.Stream) => info({ stream, role: "owner" })

const found = <A>(result: Option.Option<A>) =>
  Option.match(result, { onNone: () => Effect.fail(noStream), onSome: Effect.succeed })

interface Payload extends Partial<Pick<Channel.Fields, "slug" | "title" | "description" | "visibility">> {
  readonly chat?: { readonly enabled?: boolean; readonly slow_mode_seconds?: number }
}

const changesOf = ({ chat, ...fields }: Payload): Partial<Channel.Fields> => ({
  ...fields,
  ...(fields.title === undefined ? {} : { title: fields.title.trim() }),
  ...(chat?.enabled === undefined ? {} : { chatEnabled: chat.enabled }),
  ...(chat?.slow_mode_seconds === undefined ? {} : { slowModeSeconds: chat.slow_mode_seconds })
})

const group = HttpApiBuilder.group(
  StreamsApi,
  "streams",
  Effect.fn(function* (handlers) {
    const streams = yield* Streams
    const { answer } = yield* ProblemRules

    return handlers.handleAll({
      list: Effect.fnUntraced(function* ({ query: { before, limit = defaultLimit } }) {
        const { uid } = yield* Principal
        const page = { before: before === undefined ? undefined : Number(before), limit: limit + 1 }
        const list = yield* answer(streams.list(uid, page))
        const last = list.length > limit ? list[limit - 1] : undefined
        return { streams: list.slice(0, limit).map(ownInfo), next: last === undefined ? null : String(last.id) }
      }),
      create: Effect.fnUntraced(function* ({ payload }) {
        const { uid } = yield* Principal
        const defaults = { description: "", visibility: "public", chatEnabled: true, slowModeSeconds: 0 } as const
        const fields = { ...defaults, ...changesOf(payload), slug: payload.slug, title: payload.title.trim() }
        const { key, stream } = yield* answer(streams.create(uid, fields))
        yield* RangeRequest.tag(stream.revision)
        return { stream: ownInfo(stream), key: Redacted.value(key) }
      }),
      update: Effect.fnUntraced(function* ({ headers: { "if-match": ifMatch }, params: { slug }, payload }) {
        const change = streams.update(yield* manager, slug, changesOf(payload), RangeRequest.expecting(ifMatch))
        const stream = yield* found(yield* answer(change))
        yield* RangeRequest.tag(stream.revision)
        return ownInfo(stream)
      }),
      remove: Effect.fnUntraced(function* ({ headers: { "if-match": ifMatch }, params: { slug } }) {
        yield* found(yield* answer(streams.remove(yield* manager, slug, RangeRequest.expecting(ifMatch))))
      }),
      end: Effect.fnUntraced(function* ({ params: { slug } }) {
        const { stream } = yield* found(yield* answer(streams.end(yield* manager, slug)))
        yield* RangeRequest.tag(stream.revision)
        return ownInfo(stream)
      }),
      rotateKey: Effect.fnUntraced(function* ({ params: { slug } }) {
        const { key } = yield* found(yield* answer(streams.rotateKey(yield* manager, slug)))
        return { key: Redacted.value(key) }
      })
    })
  })
)

const forAudience = HttpApiBuilder.group(
  StreamsApi,
  "stream",
  Effect.fn(function* (handlers) {
    const streams = yield* Streams
    const { visitor } = yield* Authentication
    const readiness = yield* Readiness
    const config = yield* StreamsConfig
    const { viewers: limit } = StreamsConfig.settings
    const bound = { limit: config.viewers, setting: limit.env }
    const viewers = yield* Seats.make("stream events", { node: bound, user: bound })
    const { answer } = yield* ProblemRules
    return handlers.handleAll({
      get: Effect.fnUntraced(function* ({ params: { slug } }) {
        const reader = Option.getOrUndefined(yield* Visitor)
        const stream = yield* found(yield* answer(streams.findFor(slug, reader)))
        yield* RangeRequest.tag(stream.stream.revision)
        return info(stream)
      }),
      metrics: Effect.fnUntraced(function* ({ params: { slug } }) {
        const reader = Option.getOrUndefined(yield* Visitor)
        return metricsInfo(yield* found(yield* answer(streams.metricsFor(slug, reader))))
      }),
      events: Effect.fnUntraced(function* ({ params: { slug } }) {
        const request = yield* HttpServerRequest.HttpServerRequest
        const reader = Option.getOrUndefined(yield* Visitor)
        yield* answer(Effect.catchTag(viewers.take(slug), "NoSeat", tooManyViewers))
        yield* found(yield* answer(streams.metricsFor(slug, reader)))
        yield* ResponseBody.unbuffered
        // A key that is not valid any more ends the response.
        const next = visitor(request).pipe(
          Effect.flatMap((reader) => streams.metricsFor(slug, Option.getOrUndefined(reader))),
          Effect.catchTag("Problem", () => Effect.succeedNone)
        )
        return Stream.tick(eventsEvery).pipe(
          Stream.mapEffect(() => next),
          Stream.takeWhile(Option.isSome),
          Stream.map(({ value }) => metricsInfo(value)),
          Stream.catchCause((cause) =>
            Stream.drain(Stream.fromEffect(Effect.logWarning("the metrics of a stream could not be read", cause)))
          ),
          Stream.interruptWhen(readiness.draining)
        )
      })
    })
  })
)

const rules = ProblemRules.layerOf(
  rule(SlugTaken, ({ message }) => Problem.conflict("slug-taken", "The slug is taken", message)),
  rule(TooManyStreams, ({ message }) =>
    Problem.conflict("too-many-streams", "The limit of streams is reached", message)
  ),
  rule(StreamChanged, ({ message }) =>
    Problem.preconditionFailed("stream-changed", "The stream has another version", message)
  )
)

export const layer = HttpApiBuilder.layer(StreamsApi).pipe(
  Layer.provide([group, forAudience]),
  Layer.merge(Layer.merge(rules, AudioHttp.layer))
)
