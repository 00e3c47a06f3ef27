/** `/api/v1/studio/streams`. */
import { DateTime, Effect, Layer, Option, Redacted } from "effect"
import { HttpEffect, HttpServerResponse } from "effect/http"
import { HttpApiBuilder } from "effect/http-api"
import { isAdministrator, Principal, Visitor } from "../Auth.ts"
import { Problem, ProblemRules, RangeRequest, rule } from "../Http.ts"
import { Streams } from "../Streams.ts"
import { StreamsApi, type StreamInfo } from "./Api.ts"
import type { Fields, Stream, StreamFor } from "./Stream.ts"
import { SlugTaken, StreamChanged, TooManyStreams } from "./StreamRows.ts"

const defaultLimit = 20

const info = ({ role, stream }: StreamFor): StreamInfo => ({
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

const ownInfo = (stream: Stream) => info({ stream, role: "owner" })

const etagOf = (revision: number) => `"${revision}"`

const withEtag = ({ revision }: Stream) =>
  HttpEffect.appendPreResponseHandler((_request, response) =>
    Effect.succeed(HttpServerResponse.setHeader(response, "etag", etagOf(revision)))
  )

/** Also for a stream that the caller may not read or manage. */
const notFound = Problem.notFound("There is no stream with this slug.")

const manager = Effect.map(Principal, (principal) => ({ uid: principal.uid, isAdmin: isAdministrator(principal) }))

const found = <A>(result: Option.Option<A>) =>
  Option.match(result, { onNone: () => Effect.fail(notFound), onSome: Effect.succeed })

interface Payload extends Partial<Pick<Fields, "slug" | "title" | "description" | "visibility">> {
  readonly chat?: { readonly enabled?: boolean; readonly slow_mode_seconds?: number }
}

const changesOf = ({ chat, ...fields }: Payload): Partial<Fields> => ({
  ...fields,
  ...(fields.title === undefined ? {} : { title: fields.title.trim() }),
  ...(chat?.enabled === undefined ? {} : { chatEnabled: chat.enabled }),
  ...(chat?.slow_mode_seconds === undefined ? {} : { slowModeSeconds: chat.slow_mode_seconds })
})

const expecting = (ifMatch: string | undefined) => (revision: number) => RangeRequest.isMatch(ifMatch, etagOf(revision))

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
        yield* withEtag(stream)
        return { stream: ownInfo(stream), key: Redacted.value(key) }
      }),
      update: Effect.fnUntraced(function* ({ headers: { "if-match": ifMatch }, params: { slug }, payload }) {
        const change = streams.update(yield* manager, slug, changesOf(payload), expecting(ifMatch))
        const stream = yield* found(yield* answer(change))
        yield* withEtag(stream)
        return ownInfo(stream)
      }),
      remove: Effect.fnUntraced(function* ({ headers: { "if-match": ifMatch }, params: { slug } }) {
        yield* found(yield* answer(streams.remove(yield* manager, slug, expecting(ifMatch))))
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
    const { answer } = yield* ProblemRules
    return handlers.handleAll({
      get: Effect.fnUntraced(function* ({ params: { slug } }) {
        const reader = Option.getOrUndefined(yield* Visitor)
        const stream = yield* found(yield* answer(streams.findFor(slug, reader)))
        yield* withEtag(stream.stream)
        return info(stream)
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

export const layer = HttpApiBuilder.layer(StreamsApi).pipe(Layer.provide([group, forAudience]), Layer.merge(rules))
