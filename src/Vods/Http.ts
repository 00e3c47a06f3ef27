/** `/api/v1/studio/vods`, and the VODs of a stream. */
import { Clock, DateTime, Effect, Layer, Metric, Option } from "effect"
import { HttpEffect, HttpServerRequest, HttpServerResponse } from "effect/http"
import { HttpApiBuilder } from "effect/http-api"
import { isAdministrator, manager, Visitor } from "../Auth.ts"
import { Clients, Problem, ProblemRules, RangeRequest, rule } from "../Http.ts"
import { noStream, Streams } from "../Streams.ts"
import { type Vod, Vods } from "../Vods.ts"
import { type VodInfo, VodsApi } from "./Api.ts"
import { VodNotFailed } from "./Jobs/JobRows.ts"
import { wordsOf } from "./Lists/SearchRows.ts"
import { Playable } from "./Playable.ts"
import type { Sums } from "./Plays/Analytics.ts"
import { VodChanged, VodDeleted } from "./VodRows.ts"

const defaultPageSize = 20

/** VODs up to the end of a page with a number. Further ones have cursors, at which depth costs nothing. */
const maxNumbered = 10_000

/** Reports of plays from an address in a minute, without a key: of 150 listeners. More are answered with 429. */
const reportsPerMinute = 600

const plays = Metric.counter("spillway_vod_plays_total", {
  description:
    "Reports of what was heard of VODs by outcome: counted (a new session), updated, full (the VOD has 10,000 sessions of the day), rejected (the address reports too often)",
  incremental: true
})

const dateOf = (date: Date | undefined) => (date === undefined ? null : DateTime.fromDateUnsafe(date))

const publicInfo = (vod: Vod) => ({
  id: vod.id,
  stream: vod.slug ?? null,
  broadcast: vod.broadcast,
  title: vod.title,
  description: vod.description,
  duration: vod.duration ?? null,
  started_at: DateTime.fromDateUnsafe(vod.startedAt),
  created_at: DateTime.fromDateUnsafe(vod.createdAt)
})

const info = (vod: Vod): VodInfo => ({
  ...publicInfo(vod),
  uid: vod.uid,
  conversation_id: vod.conversation,
  status: vod.status,
  reason: vod.reason ?? null,
  format: vod.format,
  deleted_at: dateOf(vod.deletedAt),
  purge_at: dateOf(vod.purgeAt)
})

const sums = ({ completion, uniqueListeners, views, watchSeconds }: Sums) => ({
  views,
  unique_listeners: uniqueListeners,
  watch_seconds: watchSeconds,
  completion: completion ?? null
})

const withHeader = (name: string, value: string) =>
  HttpEffect.appendPreResponseHandler((_request, response) =>
    Effect.succeed(response.status < 400 ? HttpServerResponse.setHeader(response, name, value) : response)
  )

const notFound = Problem.notFound("There is no VOD with this id.")

/** A page of `size`, of whose list one VOD more was read. */
const pageOf = (list: ReadonlyArray<Vod>, size: number) => {
  const vods = list.slice(0, size)
  const hasMore = list.length > size
  return { vods, page_size: size, has_more: hasMore, cursor: hasMore ? (vods.at(-1)?.cursor ?? null) : null }
}

const tooManyReports = (seconds: number) =>
  Problem.tooMany(
    "too-many-plays",
    "Too many reports of plays",
    `An address without a key sends ${reportsPerMinute} reports a minute. Send one in 15 seconds for each listener, or use a key.`,
    seconds
  )

const found = <A>(result: Option.Option<A>) =>
  Option.match(result, { onNone: () => Effect.fail(notFound), onSome: Effect.succeed })

/** The VOD of a response, with its ETag. */
const tagged = Effect.fnUntraced(function* (vod: Vod) {
  yield* RangeRequest.tag(vod.revision)
  return info(vod)
})

const managed = HttpApiBuilder.group(
  VodsApi,
  "vods",
  Effect.fn(function* (handlers) {
    const vods = yield* Vods
    const { answer } = yield* ProblemRules

    return handlers.handleAll({
      list: Effect.fnUntraced(function* ({ query }) {
        const { cursor, page, page_size: size = defaultPageSize, q, status: state } = query
        const { isAdmin, uid } = yield* manager
        const filter = { owner: isAdmin ? undefined : uid, state }
        if (page !== undefined && cursor !== undefined)
          return yield* Problem.badQuery("cursor", "Expected either `page` or `cursor`")
        if (q !== undefined) {
          if (page !== undefined && page > 1)
            return yield* Problem.badQuery("page", "Expected `cursor` with `q`, not `page`")
          const words = wordsOf(q)
          if (words.length === 0) return yield* Problem.badQuery("q", "Expected a word or a number")
          const { next, vods: list } = yield* answer(vods.search(filter, words, { after: cursor, limit: size }))
          return {
            vods: list.map(info),
            total: null,
            page: null,
            page_size: size,
            has_more: next !== undefined,
            cursor: next ?? null
          }
        }
        const number = page ?? 1
        if (number * size > maxNumbered)
          return yield* Problem.badQuery(
            "page",
            `Expected a page within the first ${maxNumbered} VODs. Continue with the \`cursor\` of a page.`
          )
        const place = cursor === undefined ? { skipped: (number - 1) * size } : { after: cursor }
        const { total, vods: list } = yield* answer(vods.page(filter, place, size + 1))
        const { vods: shown, ...rest } = pageOf(list, size)
        return { vods: shown.map(info), total, page: cursor === undefined ? number : null, ...rest }
      }),
      get: Effect.fnUntraced(function* ({ params: { id } }) {
        return yield* tagged(yield* found(yield* answer(vods.find(yield* manager, id))))
      }),
      update: Effect.fnUntraced(function* ({ headers: { "if-match": ifMatch }, params: { id }, payload }) {
        const changes = { title: payload.title?.trim(), description: payload.description }
        const change = vods.update(yield* manager, id, changes, RangeRequest.expecting(ifMatch))
        return yield* tagged(yield* found(yield* answer(change)))
      }),
      remove: Effect.fnUntraced(function* ({ headers: { "if-match": ifMatch }, params: { id } }) {
        return yield* tagged(
          yield* found(yield* answer(vods.remove(yield* manager, id, RangeRequest.expecting(ifMatch))))
        )
      }),
      restore: Effect.fnUntraced(function* ({ params: { id } }) {
        return yield* tagged(yield* found(yield* answer(vods.restore(yield* manager, id))))
      }),
      retry: Effect.fnUntraced(function* ({ params: { id } }) {
        return info(yield* found(yield* answer(vods.retry(yield* manager, id))))
      }),
      analytics: Effect.fnUntraced(function* ({ params: { id } }) {
        const vod = yield* found(yield* answer(vods.find(yield* manager, id)))
        const { days, ...all } = yield* answer(vods.plays.analytics(vod))
        return { ...sums(all), days: days.map(({ day, ...ofDay }) => ({ day, ...sums(ofDay) })) }
      })
    })
  })
)

const forAudience = HttpApiBuilder.group(
  VodsApi,
  "vod",
  Effect.fn(function* (handlers) {
    const vods = yield* Vods
    const streams = yield* Streams
    const playable = yield* Playable
    const clock = yield* Clock.Clock
    const reports = new Clients.Rate(reportsPerMinute, () => clock.currentTimeMillisUnsafe())
    const { answer } = yield* ProblemRules

    /** A VOD that is ready and whose stream the visitor can read. Its owner and admins need no stream. */
    const findReadable = Effect.fnUntraced(function* (id: string) {
      const visitor = Option.getOrUndefined(yield* Visitor)
      const vod = yield* found(yield* answer(vods.findReady(id)))
      if (visitor !== undefined && (visitor.uid === vod.uid || isAdministrator(visitor))) return vod
      if (vod.slug === undefined || Option.isNone(yield* answer(streams.findFor(vod.slug, visitor))))
        return yield* notFound
      return vod
    })

    return handlers.handleAll({
      ofStream: Effect.fnUntraced(function* ({ params: { slug }, query }) {
        const { cursor: after, page_size: size = defaultPageSize } = query
        const stream = Option.getOrUndefined(
          yield* answer(streams.findFor(slug, Option.getOrUndefined(yield* Visitor)))
        )
        if (stream === undefined) return yield* noStream
        const list = yield* answer(vods.ofStream(stream.stream.id, { after, limit: size + 1 }))
        const { vods: shown, ...rest } = pageOf(list, size)
        return { vods: shown.map(publicInfo), ...rest }
      }),
      urls: Effect.fnUntraced(function* ({ params: { id } }) {
        // The URLs are secrets.
        yield* withHeader("cache-control", "private, no-store")
        const { contentType, expiresAt, files, url } = yield* found(
          yield* answer(playable.urls(yield* findReadable(id)))
        )
        return {
          url: url ?? null,
          content_type: contentType,
          expires_at: DateTime.makeUnsafe(expiresAt),
          files: files.map(({ duration, start, ...file }) => ({
            ...file,
            started_at: DateTime.makeUnsafe(Math.round(start * 1_000)),
            duration
          }))
        }
      }),
      play: Effect.fnUntraced(function* ({ params: { id }, payload: { listener, seconds, session } }) {
        const visitor = Option.map(yield* Visitor, ({ uid }) => `user ${uid}`)
        const wait = Option.isSome(visitor)
          ? 0
          : reports.take(Clients.addressOf(yield* HttpServerRequest.HttpServerRequest))
        if (wait > 0) {
          yield* Metric.update(Metric.withAttributes(plays, { outcome: "rejected" }), 1)
          return yield* answer(Effect.fail(tooManyReports(Math.ceil(wait / 1_000))))
        }
        const vod = yield* findReadable(id)
        const play = { session, seconds, listener: Option.getOrElse(visitor, () => listener ?? session) }
        const outcome = yield* answer(vods.plays.record({ ...vod, duration: vod.duration ?? 0 }, play))
        yield* Metric.update(Metric.withAttributes(plays, { outcome }), 1)
      })
    })
  })
)

const rules = ProblemRules.layerOf(
  rule(VodChanged, ({ message }) => Problem.preconditionFailed("vod-changed", "The VOD has another version", message)),
  rule(VodDeleted, ({ message }) => Problem.conflict("vod-deleted", "The VOD is deleted", message)),
  rule(VodNotFailed, ({ message }) => Problem.conflict("vod-not-failed", "The VOD has not failed", message))
)

export const layer = HttpApiBuilder.layer(VodsApi).pipe(
  Layer.provide([managed, forAudience]),
  Layer.provide(Playable.layer),
  Layer.merge(rules)
)
