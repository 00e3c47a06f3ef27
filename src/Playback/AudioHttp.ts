/** `/v1/sync/audio` over HTTP: ranges and conditions of RFC 9110, a body that is read as it is sent. */
import { DateTime, Duration, Effect, Layer, Option, Stream } from "effect"
import { HttpServerResponse } from "effect/http"
import type { HttpServerRequest } from "effect/http"
import { HttpApiBuilder } from "effect/http-api"
import { Seats } from "../Bulkhead.ts"
import { callerOf, DbCaller } from "../Db.ts"
import { byteRange, EntityTag, Problem, Problems, rule } from "../Http.ts"
import { Access } from "../Auth.ts"
import { AudioMissing, AudioUnreadable, NotPlayable, Playback, PlaybackConfig, type Rendition } from "../Playback.ts"
import { AudioFileChanged } from "../Recording.ts"
import { AudioApi, contentTypes } from "./AudioApi.ts"

const notPlayable = rule(
  NotPlayable,
  ({ codec, format }) =>
    new Problem({
      status: 406,
      code: "format-not-available",
      title: "The audio file is not available in this format",
      detail: `It was recorded as ${codec}, which can't be had as ${format}.`
    })
)

const isoOf = (unixSeconds: number): string => DateTime.formatIso(DateTime.makeUnsafe(Math.round(unixSeconds * 1000)))

const unreadable = rule(
  AudioUnreadable,
  ({ conversation, end, start }) =>
    new Problem({
      status: 500,
      code: "audio-unreadable",
      title: "Recorded audio can't be read",
      detail: `The audio of ${conversation} from ${isoOf(start)} to ${isoOf(end)} can't be read as it is stored now. The operator finds the reason in the log.`
    })
)

const missing = rule(
  AudioMissing,
  ({ conversation, end, start }) =>
    new Problem({
      status: 404,
      code: "audio-missing",
      title: "Recorded audio is missing",
      detail: `The audio of ${conversation} from ${isoOf(start)} to ${isoOf(end)} is no longer in the object store.`
    })
)

const fileChanged = rule(AudioFileChanged, ({ conversation }) =>
  Problem.unavailable(
    "audio-changed",
    "The audio file changed while it was read",
    `Audio was put between what is recorded of ${conversation}. Ask again.`,
    1
  )
)

const late = (conversation: string, waited: Duration.Duration) =>
  Problem.unavailable(
    "audio-late",
    "The audio could not be read in time",
    `Nothing of ${conversation} was read within ${Duration.format(waited)}. Try again later.`,
    5
  )

const changed = new Problem({
  status: 412,
  code: "changed",
  title: "The audio file is another one than was expected",
  detail: "It has another ETag than the request's If-Match."
})

/** Such an id has a time of its own, as the page and devices give one. */
const isDated = (conversation: string): boolean => /\d{4}-?\d\d-?\d\dT\d\d[.-]?\d\d/.test(conversation)

/** Ids have no character that means something in a header or a file name. The time tells a conversation's files apart. */
const fileName = (conversation: string, { file, format }: Rendition): string => {
  const stamp = `${isoOf(file.start).slice(0, 19).replaceAll(/[-:]/g, "")}Z`
  return `${conversation}-${isDated(conversation) ? stamp.slice(stamp.indexOf("T") + 1) : stamp}.${format}`
}

const headersOf = (conversation: string, rendition: Rendition) => {
  const { etag, file } = rendition
  return {
    etag,
    "accept-ranges": "bytes",
    "cache-control": "private",
    "content-disposition": `inline; filename="${fileName(conversation, rendition)}"`,
    ...(file.lostSamples > 0 ? { "spillway-lost-seconds": String(file.lostSamples / file.sampleRate) } : {})
  }
}

/** Its head is sent when the first audio has been read within `patience`: then it is an answer that can be given. */
const respond = Effect.fnUntraced(function* (
  request: HttpServerRequest.HttpServerRequest,
  conversation: string,
  rendition: Rendition,
  patience: Duration.Duration
) {
  const { begin, bytes, etag, format, size } = rendition
  const asks = request.headers
  const headers = headersOf(conversation, rendition)
  if (!EntityTag.isMatch(asks["if-match"], etag)) return changed.response
  if (!EntityTag.isNoneMatch(asks["if-none-match"], etag)) return HttpServerResponse.empty({ status: 304, headers })
  // Ranges are defined for GET alone: HEAD is answered as if it had asked for all.
  const header = request.method === "GET" && EntityTag.isSameRange(asks["if-range"], etag) ? asks["range"] : undefined
  const asked = byteRange(header, size)
  if (asked === "unsatisfiable") return Problem.rangeNotSatisfiable(size).response
  const range = asked === "whole" ? { start: 0, end: size } : asked
  const begun = Effect.timeoutOrElse(begin(range), {
    duration: patience,
    orElse: () => Effect.fail(late(conversation, patience))
  })
  const body = request.method === "HEAD" ? bytes(range) : yield* begun
  // The body is read when the handler has ended, without what it was provided with.
  return HttpServerResponse.stream(Stream.provideService(body, DbCaller, { ...(yield* DbCaller), isStreaming: true }), {
    status: asked === "whole" ? 200 : 206,
    contentType: contentTypes[format],
    contentLength: range.end - range.start,
    headers:
      asked === "whole" ? headers : { ...headers, "content-range": `bytes ${range.start}-${range.end - 1}/${size}` }
  })
})

const group = HttpApiBuilder.group(
  AudioApi,
  "audio",
  Effect.fn(function* (handlers) {
    const access = yield* Access
    const playback = yield* Playback
    const problems = yield* Problems
    const config = yield* PlaybackConfig
    const { responses, responsesPerUser } = PlaybackConfig.settings
    const seats = yield* Seats.make("audio responses", {
      node: { limit: config.responses, setting: responses.env },
      user: { limit: config.responsesPerUser, setting: responsesPerUser.env }
    })
    return handlers.handleRaw("play", ({ params: { conversation, file }, query: { format = "wav" }, request }) =>
      Effect.gen(function* () {
        const { uid } = yield* access.authenticate(request, { query: true })
        // The request's scope lasts until the response is sent.
        yield* seats.take(uid)
        return yield* Effect.gen(function* () {
          const rendition = yield* playback.open(uid, conversation, file, format)
          if (Option.isNone(rendition)) return yield* Problem.notFound("There is no such audio file.")
          return yield* respond(request, conversation, rendition.value, config.firstAudio)
        }).pipe(Effect.provideService(DbCaller, callerOf(uid)))
      }).pipe(
        problems.answer,
        // As a response, because a documented error leaves without its headers.
        Effect.catchTag("Problem", (problem) => Effect.succeed(problem.response))
      )
    )
  })
)

export const layer = HttpApiBuilder.layer(AudioApi).pipe(
  Layer.provide(group),
  Layer.merge(Problems.rules(notPlayable, unreadable, missing, fileChanged))
)
