/** What every adapter accepts: names, prefixes, ranges and metadata, checked before the store is touched. */
import { Duration, Effect } from "effect"
import { StorageRefused } from "../Storage.ts"
import type { ByteRange, ObjectHead } from "../Storage.ts"

/** A page of a listing holds at most this many objects. */
export const pageSize = 1_000

/** Object names in Google Cloud Storage hold at most 1,024 bytes. */
const keySize = 1_024

/** Leaves room, in a file name of 255 bytes, for what `DiskName` adds. */
const segmentSize = 200

/** Google Cloud Storage keeps at most 8 KiB of custom metadata per object. */
const metadataSize = 8_192

/** More than a day of chunks of a minute; so many heads are held while they are composed. */
const sourcesSize = 10_000

const segment = new RegExp(`^[A-Za-z0-9._-]{1,${segmentSize}}$`)

/** What was asked for; every error carries it. */
export interface At {
  readonly operation: string
  readonly bucket: string
  readonly key: string
}

const refuseUnless = (accepted: boolean, at: At, reason: string): Effect.Effect<void, StorageRefused> =>
  accepted ? Effect.void : new StorageRefused({ ...at, reason })

const isKey = (key: string) =>
  key.length <= keySize && key.split("/").every((part) => segment.test(part) && part !== "." && part !== "..")

/** 1 to 1,024 characters: segments of 1 to 200 of `A-Z a-z 0-9 . _ -`, joined by `/`, none of them `.` or `..`. */
export function key(at: At): Effect.Effect<void, StorageRefused> {
  return refuseUnless(isKey(at.key), at, "not an object name")
}

/** Empty (everything), or a name and `/`. */
export function prefix(at: At): Effect.Effect<void, StorageRefused> {
  return refuseUnless(
    at.key === "" || (at.key.endsWith("/") && isKey(at.key.slice(0, -1))),
    at,
    "not a prefix that ends in /"
  )
}

/** The range that is there of what was asked for. */
export function range(at: At, asked: ByteRange | undefined, size: number): Effect.Effect<ByteRange, StorageRefused> {
  if (asked === undefined) return Effect.succeed({ start: 0, end: size })
  const { end, start } = asked
  return Number.isSafeInteger(start) && Number.isSafeInteger(end) && start >= 0 && end >= start
    ? Effect.succeed({ start: Math.min(start, size), end: Math.min(end, size) })
    : new StorageRefused({ ...at, reason: "not a range" })
}

/** Type and subtype, and perhaps parameters; it travels in headers, so no character is but printable ASCII. */
const isContentType = (text: string) => text.length <= 255 && /^[!-.0-~]+\/[ -~]+$/.test(text)

/** A content type, if one is said, and metadata of at most 8 KiB, names and values together. */
export function metadata(
  at: At,
  { contentType = "a/b", metadata }: { readonly contentType?: string; readonly metadata: ObjectHead["metadata"] }
): Effect.Effect<void, StorageRefused> {
  const size = Buffer.byteLength(Object.entries(metadata).flat().join("") + contentType)
  return Effect.andThen(
    refuseUnless(isContentType(contentType), at, "not a content type"),
    refuseUnless(size <= metadataSize, at, `more than ${metadataSize} bytes of metadata`)
  )
}

/** The error of a put whose stream does not hold the announced number of bytes. */
export function wrongSize(at: At, size: number): StorageRefused {
  return new StorageRefused({ ...at, reason: `the body is not of ${size} bytes, as announced` })
}

/** How many objects a page may hold. */
export function limit(asked: number | undefined): number {
  return Math.max(1, Math.min(pageSize, Math.trunc(asked ?? pageSize)))
}

/** A put that found an object under its key: the same put, if the bytes are the same. */
export function isSamePut(existing: ObjectHead, put: { readonly size: number; readonly crc32c: number }): boolean {
  return existing.size === put.size && existing.crc32c === put.crc32c
}

/** 1 to 10,000 names. */
export function sources(at: At, keys: ReadonlyArray<string>): Effect.Effect<void, StorageRefused> {
  return refuseUnless(keys.length >= 1 && keys.length <= sourcesSize, at, `not 1 to ${sourcesSize} objects`).pipe(
    Effect.andThen(Effect.forEach(keys, (source) => key({ ...at, key: source }), { discard: true }))
  )
}

/** When an object expires by its metadata, in unix milliseconds; infinity if it says nothing that is a time. */
export function expiresAt(metadata: ObjectHead["metadata"] | undefined): number {
  const at = Date.parse(metadata?.["expires_at"] ?? "")
  return Number.isNaN(at) ? Number.POSITIVE_INFINITY : at
}

/** What V4 signatures of Google Cloud Storage allow at most. */
const longestLifetime = Duration.days(7)

/** When a URL signed at `now` ends, in unix milliseconds, whole seconds: after the lifetime, and not after `ends`. */
export function lifetime(
  at: At,
  asked: Duration.Duration,
  now: number,
  ends: number
): Effect.Effect<number, StorageRefused> {
  const until = Math.floor(Math.min(now + Duration.toMillis(asked), ends) / 1_000) * 1_000
  return Effect.as(
    refuseUnless(
      Duration.between(asked, { minimum: Duration.seconds(1), maximum: longestLifetime }),
      at,
      "not a lifetime"
    ).pipe(Effect.andThen(refuseUnless(until > now, at, "the object has expired"))),
    until
  )
}
