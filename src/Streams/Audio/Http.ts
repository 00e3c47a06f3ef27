/** `/api/v1/studio/streams/{slug}/audio`. */
import { Clock, Duration, Effect, Layer, Option } from "effect"
import { type HttpServerRequest, HttpServerResponse } from "effect/http"
import { Authentication } from "../../Auth.ts"
import { NoSeat } from "../../Bulkhead.ts"
import { callerOf, DbCaller } from "../../Db.ts"
import { Problem, RawRoute, ResponseBody } from "../../Http.ts"
import { Opus } from "../../Opus.ts"
import { contentTypes, Follow } from "../../Playback.ts"
import { Recording } from "../../Recording.ts"
import { noStream, Streams } from "../../Streams.ts"
import { listening } from "../Api.ts"
import type { Stream } from "../Stream.ts"
import { firstSample, LiveOgg } from "./LiveOgg.ts"

/** Seconds before the present: a player begins with them at once. */
const defaultFrom = -3

/** How often a listener's access is checked while audio is sent. */
const checkEvery = Duration.seconds(3)

const offline = new Problem({
  status: 404,
  code: "stream-offline",
  title: "The stream is not live",
  detail: "Listen again when its `live` is not null."
})

const elsewhere = Problem.unavailable(
  "stream-elsewhere",
  "Another node has the audio",
  "The stream is captured on another node, or its capture is reconnecting. Send the request again.",
  1
)

const full = ({ limit, of }: NoSeat) =>
  Problem.unavailable(
    "stream-listeners",
    of === "node" ? "The node has too many listeners" : "The stream has too many listeners",
    `It allows ${limit} at once on a node. Try another node, or try again later.`,
    5
  )

type Request = RawRoute.PartsOf<typeof listening>

/** The request's scope closes when the response has been sent. */
const route = RawRoute.layer(
  listening,
  Effect.gen(function* () {
    const { visitor } = yield* Authentication
    const streams = yield* Streams
    const recording = yield* Recording
    const follow = yield* Follow
    const ogg = yield* LiveOgg
    const clock = yield* Clock.Clock

    /** The latest audio file, and the second of it to begin with. */
    const placeIn = Effect.fnUntraced(function* (stream: Stream, from: number) {
      if (stream.live === undefined) return yield* offline
      const live = streams.liveOn(stream.id)
      if (live === undefined) return yield* elsewhere
      const { conversation, uid } = live
      const found = Option.getOrUndefined(yield* recording.conversation(uid, conversation, { files: 1 }))
      const file = found?.files.at(-1)
      if (file === undefined) return yield* elsewhere
      const durable = file.samples / file.sampleRate
      return { uid, conversation, file, second: Math.max(0, Math.min(durable, from < 0 ? durable + from : from)) }
    })

    const open = Effect.fnUntraced(function* ({ params, query }: Request, stream: Stream) {
      const { format = "ogg", from = defaultFrom } = query
      const { conversation, file, second, uid } = yield* placeIn(stream, from)
      const first = format === "ogg" ? firstSample(second, file.sampleRate) : Math.round(second * file.sampleRate)
      const name = { uid, conversation, id: file.id }
      const kind = format === "wav" ? "wav" : "pcm"
      const rendition = Option.getOrUndefined(yield* follow.open(name, kind, first / file.sampleRate))
      if (rendition === undefined) return yield* elsewhere
      const begun = yield* rendition.begin({ start: 0, end: Infinity })
      if (format !== "ogg") return { ...begun, format, slug: params.slug }
      let held: typeof begun.first | undefined = begun.first
      const next = Effect.suspend(() => {
        const pieces = held
        held = undefined
        return pieces === undefined ? begun.next : Effect.succeed(pieces)
      })
      const id = `${uid} ${conversation} ${file.id}`
      const pages = ogg.open({ uid, id, sampleRate: file.sampleRate, first, next }, second)
      return { first: [pages.heads], next: pages.next, format, slug: params.slug }
    })

    /** An unavailable database ends no response. */
    const mayListen = (request: HttpServerRequest.HttpServerRequest, stream: Stream) =>
      visitor(request, { query: true }).pipe(
        Effect.flatMap((reader) => streams.isReadable(stream.id, Option.getOrUndefined(reader))),
        Effect.catchTag("Problem", ({ status }) => Effect.succeed(status !== 401)),
        Effect.catchTag(["DbUnavailable", "DbTimeout", "DbBusy"], () => Effect.succeed(true))
      )

    /** What `next` returns, until the stream may not be read any more. */
    const whileAllowed = <E>(
      next: Effect.Effect<ResponseBody.Pieces | undefined, E>,
      isAllowed: Effect.Effect<boolean>
    ) => {
      let checkedAt = clock.currentTimeMillisUnsafe()
      return Effect.flatMap(next, (pieces) => {
        const now = clock.currentTimeMillisUnsafe()
        if (pieces === undefined || now - checkedAt < Duration.toMillis(checkEvery)) return Effect.succeed(pieces)
        checkedAt = now
        return Effect.map(isAllowed, (isAllowed) => (isAllowed ? pieces : undefined))
      })
    }

    return Effect.fnUntraced(
      function* (parts: Request) {
        const { params, request } = parts
        const reader = Option.getOrUndefined(yield* visitor(request, { query: true }))
        const found = yield* streams.findFor(params.slug, reader)
        if (Option.isNone(found)) return yield* noStream
        const { stream } = found.value
        const headers = {
          "cache-control": "no-store",
          "accept-ranges": "none",
          "x-accel-buffering": "no",
          "referrer-policy": "no-referrer",
          "access-control-expose-headers": "content-type",
          "content-type": contentTypes[parts.query.format ?? "ogg"]
        }
        if (request.method === "HEAD") {
          yield* placeIn(stream, 0)
          return HttpServerResponse.empty({ headers })
        }
        yield* Effect.catchTag(streams.listen(stream.id), "NoSeat", full)
        const { first, next } = yield* open(parts, stream)
        const body = { first, next: whileAllowed(next, mayListen(request, stream)), onSent: () => {} }
        return yield* ResponseBody.send(request, { status: 200, headers, length: undefined }, body)
      },
      Effect.provideService(DbCaller, { ...callerOf("(listeners of streams)"), isStreaming: true })
    )
  })
)

export const layer = route.pipe(Layer.provide(LiveOgg.layer), Layer.provide(Opus.layer))
