/** `/v1/sync/audio`: ranges and preconditions of RFC 9110. The body is read from the store while it is sent. */
import { Duration, Effect, Layer, Option, Stream } from "effect"
import { HttpServerResponse } from "effect/http"
import type { HttpServerRequest } from "effect/http"
import { HttpApiBuilder } from "effect/http-api"
import { Seats } from "../Bulkhead.ts"
import { callerOf, DbCaller } from "../Db.ts"
import { Problem, ProblemRules, RangeRequest, ResponseBody, rule } from "../Http.ts"
import { Authentication } from "../Auth.ts"
import { AudioMissing, AudioUnreadable, NotPlayable, Playback, PlaybackConfig, type Rendition } from "../Playback.ts"
import { AudioFileChanged } from "../Recording.ts"
import { ReadBuffers } from "../Storage.ts"
import { AudioApi, contentTypes } from "./AudioApi.ts"

const notPlayable = rule(
  NotPlayable,
  ({ codec, format }) =>
    new Problem({
      status: 406,
      code: "format-not-available",
      title: "The audio file is not available in this format",
      detail: `It was recorded as ${codec} and can't be converted to ${format}.`
    })
)

const isoOf = (unixSeconds: number): string => new Date(Math.round(unixSeconds * 1000)).toISOString()

const unreadable = rule(
  AudioUnreadable,
  ({ conversation, end, start }) =>
    new Problem({
      status: 500,
      code: "audio-unreadable",
      title: "Recorded audio can't be read",
      detail: `The audio of ${conversation} from ${isoOf(start)} to ${isoOf(end)} can't be read. The reason is in the server's log.`
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
    `Audio was inserted into ${conversation}. Send the request again.`,
    1
  )
)

const late = (conversation: string, waited: Duration.Duration) =>
  Problem.unavailable(
    "audio-late",
    "The audio could not be read in time",
    `No audio of ${conversation} was read within ${Duration.format(waited)}. Try again later.`,
    5
  )

const changed = new Problem({
  status: 412,
  code: "changed",
  title: "The audio file has changed",
  detail: "Its ETag differs from If-Match."
})

/** Whether the id contains a time, as the ids of the page do. */
const isDated = (conversation: string): boolean => /\d{4}-?\d\d-?\d\dT\d\d[.-]?\d\d/.test(conversation)

/** Ids need no escaping in headers and file names. The start distinguishes the files of a conversation. */
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

/** Sends the response head after the first read, so that a failure gets an error status. Fails after `timeout`. */
const respond = Effect.fnUntraced(function* (
  request: HttpServerRequest.HttpServerRequest,
  conversation: string,
  rendition: Rendition,
  timeout: Duration.Duration
) {
  const { begin, etag, format, size } = rendition
  const conditions = request.headers
  const headers = headersOf(conversation, rendition)
  if (!RangeRequest.isMatch(conditions["if-match"], etag)) return changed.response
  if (!RangeRequest.isNoneMatch(conditions["if-none-match"], etag))
    return HttpServerResponse.empty({ status: 304, headers })
  // RFC 9110 defines ranges for GET only.
  const header =
    request.method === "GET" && RangeRequest.isSameRange(conditions["if-range"], etag) ? conditions["range"] : undefined
  const requested = RangeRequest.byteRange(header, size)
  if (requested === "unsatisfiable") return Problem.rangeNotSatisfiable(size).response
  const range = requested === "whole" ? { start: 0, end: size } : requested
  const contentType = contentTypes[format]
  if (request.method === "HEAD")
    return HttpServerResponse.stream(Stream.empty, { contentType, contentLength: size, headers })
  const { first, next } = yield* Effect.timeoutOrElse(begin(range), {
    duration: timeout,
    orElse: () => Effect.fail(late(conversation, timeout))
  })
  const ofRange = requested === "whole" ? {} : { "content-range": `bytes ${range.start}-${range.end - 1}/${size}` }
  const head = {
    status: requested === "whole" ? 200 : 206,
    headers: { "content-type": contentType, ...headers, ...ofRange },
    length: range.end - range.start
  }
  const streaming = { ...(yield* DbCaller), isStreaming: true }
  return yield* Effect.provideService(
    ResponseBody.send(request, head, { first, next, onSent: ReadBuffers.giveBack }),
    DbCaller,
    streaming
  )
})

const group = HttpApiBuilder.group(
  AudioApi,
  "audio",
  Effect.fn(function* (handlers) {
    const { authenticate } = yield* Authentication
    const playback = yield* Playback
    const problems = yield* ProblemRules
    const config = yield* PlaybackConfig
    const { responses, responsesPerUser } = PlaybackConfig.settings
    const seats = yield* Seats.make("audio responses", {
      node: { limit: config.responses, setting: responses.env },
      user: { limit: config.responsesPerUser, setting: responsesPerUser.env }
    })
    return handlers.handleRaw("play", ({ params: { conversation, file }, query: { format = "wav" }, request }) =>
      Effect.gen(function* () {
        const { uid } = yield* authenticate(request, { query: true })
        // The request's scope closes when the response has been sent.
        yield* seats.take(uid)
        return yield* Effect.gen(function* () {
          const { headers, method } = request
          const near = method === "GET" ? RangeRequest.expectedRange(headers["range"]) : undefined
          const rendition = yield* playback.open(uid, conversation, file, format, near)
          if (Option.isNone(rendition)) return yield* Problem.notFound("There is no such audio file.")
          return yield* respond(request, conversation, rendition.value, config.firstAudio)
        }).pipe(Effect.provideService(DbCaller, callerOf(uid)))
      }).pipe(
        problems.answer,
        // Sent as a response, because documented errors are encoded without headers.
        Effect.catchTag("Problem", (problem) => Effect.succeed(problem.response))
      )
    )
  })
)

export const layer = HttpApiBuilder.layer(AudioApi).pipe(
  Layer.provide(group),
  Layer.merge(ProblemRules.layerOf(notPlayable, unreadable, missing, fileChanged))
)
