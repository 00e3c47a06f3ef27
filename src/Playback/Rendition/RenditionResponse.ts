/** Answers a request for a rendition: preconditions and ranges (RFC 9110). The body is read from the store while it is sent. */
import { Duration, Effect, Stream } from "effect"
import { type HttpServerRequest, HttpServerResponse } from "effect/http"
import { DbCaller } from "../../Db.ts"
import { Problem, RangeRequest, ResponseBody } from "../../Http.ts"
import { isWholeId, type Rendition } from "../../Playback.ts"
import { ReadBuffers } from "../../Storage.ts"
import { contentTypes } from "./Rendition.ts"

export function isoOf(unixSeconds: number): string {
  return new Date(Math.round(unixSeconds * 1000)).toISOString()
}

/** Such as `20231114T221320Z`. */
export function stampOf(unixSeconds: number): string {
  return `${isoOf(unixSeconds).slice(0, 19).replaceAll(/[-:]/g, "")}Z`
}

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
const fileName = (conversation: string, { file, format }: Pick<Rendition, "file" | "format">): string => {
  if (isWholeId(file.id)) return `${conversation}.${format}`
  const stamp = stampOf(file.start)
  return `${conversation}-${isDated(conversation) ? stamp.slice(stamp.indexOf("T") + 1) : stamp}.${format}`
}

/** Headers of a response whose bytes are known only at the end. */
const unbuffered = { "cache-control": "private, no-store", "x-accel-buffering": "no" }

const headersOf = (
  conversation: string,
  rendition: Omit<Rendition<never, string | undefined>, "begin">,
  disposition: string
) => {
  const { etag, file, size } = rendition
  return {
    ...(etag === undefined ? unbuffered : { etag, "cache-control": "private" }),
    "accept-ranges": etag === undefined || size === undefined ? "none" : "bytes",
    // The URL can contain a token or a key.
    "referrer-policy": "no-referrer",
    "content-disposition": `${disposition}; filename="${fileName(conversation, rendition)}"`,
    ...(file.lostSamples > 0 ? { "spillway-lost-seconds": String(file.lostSamples / file.sampleRate) } : {})
  }
}

/** Sends the response head after the first read, so that a failure gets an error status. Fails after `timeout`. */
export const respond = Effect.fnUntraced(function* <E>(
  request: HttpServerRequest.HttpServerRequest,
  conversation: string,
  rendition: Rendition<E, string | undefined>,
  timeout: Duration.Duration,
  disposition: "inline" | "attachment" = "inline"
) {
  const { begin, etag, format, size } = rendition
  const conditions = request.headers
  const headers = headersOf(conversation, rendition, disposition)
  if (etag !== undefined && !RangeRequest.isMatch(conditions["if-match"], etag)) return changed.response
  if (etag !== undefined && !RangeRequest.isNoneMatch(conditions["if-none-match"], etag))
    return HttpServerResponse.empty({ status: 304, headers })
  const isSame = etag !== undefined && RangeRequest.isSameRange(conditions["if-range"], etag)
  // RFC 9110 defines ranges for GET only.
  const header = request.method === "GET" && isSame ? conditions["range"] : undefined
  const requested = size === undefined ? "whole" : RangeRequest.byteRange(header, size)
  if (requested === "unsatisfiable") return Problem.rangeNotSatisfiable(size ?? 0).response
  const range = requested === "whole" ? { start: 0, end: size ?? Infinity } : requested
  const contentType = contentTypes[format]
  if (request.method === "HEAD")
    return HttpServerResponse.stream(Stream.empty, {
      contentType,
      ...(size === undefined ? {} : { contentLength: size }),
      headers
    })
  const { first, next } = yield* Effect.timeoutOrElse(begin(range), {
    duration: timeout,
    orElse: () => Effect.fail(late(conversation, timeout))
  })
  const ofRange = requested === "whole" ? {} : { "content-range": `bytes ${range.start}-${range.end - 1}/${size}` }
  const head = {
    status: requested === "whole" ? 200 : 206,
    headers: { "content-type": contentType, ...headers, ...ofRange },
    length: size === undefined ? undefined : range.end - range.start
  }
  const streaming = { ...(yield* DbCaller), isStreaming: true }
  return yield* Effect.provideService(
    ResponseBody.send(request, head, { first, next, onSent: ReadBuffers.giveBack }),
    DbCaller,
    streaming
  )
})
