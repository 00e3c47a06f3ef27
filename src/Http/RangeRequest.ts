/** Range requests, ETags and preconditions (RFC 9110, sections 8.8.3, 13.1 and 14.2). */
import { Effect } from "effect"
import { HttpEffect, type HttpServerRequest, HttpServerResponse } from "effect/http"

/** Bytes `start` to `end` (exclusive). */
interface Range {
  readonly start: number
  readonly end: number
}

/** `whole`: the response has all bytes, because there is no range or it is ignored. */
export type Requested = "whole" | "unsatisfiable" | Range

/** Positions beyond exact numbers are beyond the end of every file. */
const position = (digits: string): number => Math.min(Number(digits), Number.MAX_SAFE_INTEGER)

/** Nearly every header. Positions of up to 15 digits are exact numbers. */
const usual = /^bytes=(\d{1,15})-(\d{1,15})$/

const form = /^(?:(\d+)-(\d*)|-(\d+))$/

/**
 * The requested bytes of `size`. A single range of the form `a-b`, `a-` or `-n` is served. Several ranges, other units and
 * invalid headers are ignored, as the RFC permits.
 */
export function byteRange(header: string | undefined, size: number): Requested {
  const exact = usual.exec(header ?? "")
  const [first, last] = [Number(exact?.[1]), Number(exact?.[2])]
  if (first <= last && first < size) return { start: first, end: Math.min(last + 1, size) }
  return otherRange(header, size)
}

const otherRange = (header: string | undefined, size: number): Requested => {
  const set = /^bytes=(.*)$/i.exec(header ?? "")?.[1] ?? ""
  const [range, ...others] = set
    .split(",")
    .map((each) => each.trim())
    .filter((each) => each !== "")
  const [, first, last, suffix] = form.exec(range ?? "") ?? []
  if (others.length > 0) return "whole"
  if (suffix !== undefined) {
    const length = Math.min(position(suffix), size)
    return length === 0 ? "unsatisfiable" : { start: size - length, end: size }
  }
  if (first === undefined) return "whole"
  const start = position(first)
  const end = last === undefined || last === "" ? Infinity : position(last) + 1
  if (end <= start) return "whole"
  return start >= size ? "unsatisfiable" : { start, end: Math.min(end, size) }
}

/** The bytes that a request for `header` is expected to get, of a file whose size is unknown; `end` may be infinite. */
export function expectedRange(header: string | undefined): Range | undefined {
  const requested = byteRange(header, Infinity)
  if (requested === "whole") return { start: 0, end: Infinity }
  // The last bytes, whose place depends on the size.
  return requested === "unsatisfiable" || requested.start === Infinity ? undefined : requested
}

/** Tags of a list such as `"a", W/"b"`. A tag can contain commas. */
const tags = (list: string): ReadonlyArray<string> => list.match(/(?:W\/)?"[^"]*"/g) ?? []

/** `If-None-Match`: `*`, or a list that contains the tag, by weak comparison. */
export function isNoneMatch(header: string | undefined, etag: string): boolean {
  return (
    header === undefined || !(header.trim() === "*" || tags(header).some((tag) => tag.replace(/^W\//, "") === etag))
  )
}

/** `If-Match`: `*`, or a list that contains the strong tag. */
export function isMatch(header: string | undefined, etag: string): boolean {
  return header === undefined || header.trim() === "*" || tags(header).includes(etag)
}

/** `If-Range`: the strong tag. Dates never match: there is no `Last-Modified`. */
export function isSameRange(header: string | undefined, etag: string): boolean {
  return header === undefined || header.trim() === etag
}

/** Whether a change is wanted of a resource with this revision. */
export type IsExpected = (revision: number) => boolean

const etagOf = (revision: number) => `"${revision}"`

/** The revisions that an `If-Match` header expects: all without one. */
export function expecting(ifMatch: string | undefined): IsExpected {
  return (revision) => isMatch(ifMatch, etagOf(revision))
}

/** Sends the ETag of a resource with this revision, unless the response is an error. */
export function tag(revision: number): Effect.Effect<void, never, HttpServerRequest.HttpServerRequest> {
  return HttpEffect.appendPreResponseHandler((_request, response) =>
    Effect.succeed(response.status < 400 ? HttpServerResponse.setHeader(response, "etag", etagOf(revision)) : response)
  )
}
