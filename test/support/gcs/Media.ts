/** Responses with an object's bytes, or a range of them. */
import { createHash } from "node:crypto"
import { ApiError } from "./ApiError.ts"
import { sumText } from "./Objects.ts"
import type { StoredObject } from "./Objects.ts"

export interface Reply {
  readonly status: number
  /** Several values become several header lines. */
  readonly headers: Readonly<Record<string, string | Array<string>>>
  readonly body: Buffer | string
}

/** First and last byte; undefined for the whole object, which is also the answer to what is no range. */
const rangeOf = (header: string | undefined, size: number): readonly [number, number] | undefined => {
  const asked = /^bytes=(\d*)-(\d*)$/.exec(header ?? "")
  if (asked === null || asked[0] === "bytes=-") return undefined
  const unsatisfiable = () =>
    new ApiError(416, "The requested range cannot be satisfied.", { "content-range": `bytes */${size}` })
  const [, from = "", to = ""] = asked
  if (from === "") {
    if (to === "0" || size === 0) throw unsatisfiable()
    return [Math.max(0, size - Number(to)), size - 1]
  }
  if (to !== "" && Number(to) < Number(from)) return undefined
  if (Number(from) >= size) throw unsatisfiable()
  return [Number(from), to === "" ? size - 1 : Math.min(Number(to), size - 1)]
}

const sums = new WeakMap<Buffer, string>()

/** Cached by object: hashing takes longer than the rest of a response. */
const md5 = ({ bytes }: StoredObject): string => {
  const sum = sums.get(bytes) ?? `md5=${createHash("md5").update(bytes).digest("base64")}`
  sums.set(bytes, sum)
  return sum
}

export const media = (object: StoredObject, range: string | undefined): Reply => {
  const size = object.bytes.length
  const sum = `crc32c=${sumText(object.crc32c)}`
  const headers = {
    "content-type": object.contentType ?? "application/octet-stream",
    ...(object.contentEncoding === undefined ? {} : { "content-encoding": object.contentEncoding }),
    "accept-ranges": "bytes",
    "cache-control": object.cacheControl ?? "private, max-age=0",
    etag: `"${object.generation}"`,
    "last-modified": object.updated.toUTCString(),
    "x-goog-generation": String(object.generation),
    "x-goog-metageneration": String(object.metageneration),
    // Two header lines, as Google sends them. Composed objects have no MD5.
    "x-goog-hash": object.componentCount === undefined ? [sum, md5(object)] : sum,
    "x-goog-storage-class": "STANDARD",
    "x-goog-stored-content-encoding": object.contentEncoding ?? "identity",
    "x-goog-stored-content-length": String(size)
  }
  const part = rangeOf(range, size)
  if (part === undefined) return { status: 200, headers, body: object.bytes }
  const [first, last] = part
  return {
    status: 206,
    headers: { ...headers, "content-range": `bytes ${first}-${last}/${size}` },
    body: object.bytes.subarray(first, last + 1)
  }
}
