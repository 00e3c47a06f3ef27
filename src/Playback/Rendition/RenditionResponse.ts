/** Answers a request for a rendition: preconditions and ranges (RFC 9110). The body is read from the store while it is sent. */
import { Effect, Stream } from "effect"
import { type HttpServerRequest, HttpServerResponse } from "effect/http"
import type { Wav } from "../../Audio.ts"
import { DbCaller } from "../../Db.ts"
import { Problem, RangeRequest, ResponseBody } from "../../Http.ts"
import { isWholeId, type Rendition } from "../../Playback.ts"
import { ReadBuffers } from "../../Storage.ts"
import type { FirstAudio } from "../FirstAudio.ts"
import { contentTypes } from "./Rendition.ts"

export function isoOf(unixSeconds: number): string {
  return new Date(Math.round(unixSeconds * 1000)).toISOString()
}

/** Such as `20231114T221320Z`. */
export function stampOf(unixSeconds: number): string {
  return `${isoOf(unixSeconds).slice(0, 19).replaceAll(/[-:]/g, "")}Z`
}

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
  rendition: Omit<Rendition<never, string | undefined>, "begin" | "readWhole">,
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

export function contentRange(range: Wav.Range, size: number | undefined): string {
  return `bytes ${range.start}-${range.end - 1}/${size}`
}

/** Headers of every response with a part of the rendition. */
export function partHeaders(
  conversation: string,
  rendition: Omit<Rendition<never, string | undefined>, "begin" | "readWhole">
) {
  return { "content-type": contentTypes[rendition.format], ...headersOf(conversation, rendition, "inline") }
}

const whileStreaming = <A, E, R>(next: Effect.Effect<A, E, R>) =>
  Effect.flatMap(DbCaller, (caller) => Effect.provideService(next, DbCaller, { ...caller, isStreaming: true }))

/** The bytes that are read first: none for a response without a body. Undefined if they depend on the size of the file. */
export function expectedRange({ headers, method }: HttpServerRequest.HttpServerRequest): Wav.Range | undefined {
  const isBare = method === "HEAD" || headers["if-none-match"] !== undefined
  return isBare ? { start: 0, end: 0 } : RangeRequest.expectedRange(headers["range"])
}

/** Sends the response head after the first read, so that a failure gets an error status. */
export const respond = Effect.fnUntraced(function* <E>(
  request: HttpServerRequest.HttpServerRequest,
  conversation: string,
  rendition: Rendition<E, string | undefined>,
  firstAudio: FirstAudio["Service"],
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
  const { first, next } = yield* firstAudio.within(request.source, conversation, begin(range))
  const ofRange = requested === "whole" ? {} : { "content-range": contentRange(range, size) }
  const head = {
    status: requested === "whole" ? 200 : 206,
    headers: { "content-type": contentType, ...headers, ...ofRange },
    length: size === undefined ? undefined : range.end - range.start
  }
  return yield* ResponseBody.send(request, head, { first, next: whileStreaming(next), onSent: ReadBuffers.giveBack })
})
