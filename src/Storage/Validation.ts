/** Validation of keys, prefixes, ranges and metadata, the same in every adapter. Runs before the store is used. */
import { Duration, Effect } from "effect"
import { StorageRefused } from "../Storage.ts"
import type { ByteRange, ObjectHead } from "../Storage.ts"

export const pageSize = 1_000

/** Longest key: Google Cloud Storage allows 1,024 bytes. */
const keySize = 1_024

/** Leaves room in a file name of 255 bytes for the suffix that `Disk/FileName` adds. */
const segmentSize = 200

/** Google Cloud Storage allows 8 KiB of custom metadata per object. */
const metadataSize = 8_192

/** Bound of the sources of one compose, whose heads are all in memory: more than a day of one-minute chunks. */
const sourcesSize = 10_000

const segment = new RegExp(`^[A-Za-z0-9._-]{1,${segmentSize}}$`)

/** The operation and its object, which every error carries. */
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
export function checkKey(at: At): Effect.Effect<void, StorageRefused> {
  return refuseUnless(isKey(at.key), at, "not an object name")
}

/** Empty (everything), or a name and `/`. */
export function checkPrefix(at: At): Effect.Effect<void, StorageRefused> {
  return refuseUnless(
    at.key === "" || (at.key.endsWith("/") && isKey(at.key.slice(0, -1))),
    at,
    "not a prefix that ends in /"
  )
}

/** The requested range, clipped to the size of the object. */
export function clipRange(
  at: At,
  asked: ByteRange | undefined,
  size: number
): Effect.Effect<ByteRange, StorageRefused> {
  if (asked === undefined) return Effect.succeed({ start: 0, end: size })
  const { end, start } = asked
  return Number.isSafeInteger(start) && Number.isSafeInteger(end) && start >= 0 && end >= start
    ? Effect.succeed({ start: Math.min(start, size), end: Math.min(end, size) })
    : new StorageRefused({ ...at, reason: "not a range" })
}

/** Type, subtype and optional parameters, in printable ASCII because a header carries them. */
const isContentType = (text: string) => text.length <= 255 && /^[!-.0-~]+\/[ -~]+$/.test(text)

/** Accepts a valid content type, if given, and at most 8 KiB of names and values. */
export function checkMetadata(
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

export function clampLimit(asked: number | undefined): number {
  return Math.max(1, Math.min(pageSize, Math.trunc(asked ?? pageSize)))
}

/** Whether the existing object has the size and CRC32C of a put, which then succeeds. */
export function isSamePut(existing: ObjectHead, put: { readonly size: number; readonly crc32c: number }): boolean {
  return existing.size === put.size && existing.crc32c === put.crc32c
}

export function checkSources(at: At, keys: ReadonlyArray<string>): Effect.Effect<void, StorageRefused> {
  return refuseUnless(keys.length >= 1 && keys.length <= sourcesSize, at, `not 1 to ${sourcesSize} objects`).pipe(
    Effect.andThen(Effect.forEach(keys, (source) => checkKey({ ...at, key: source }), { discard: true }))
  )
}

/** Expiry of an object according to its metadata, in Unix milliseconds; infinity without a valid `expires_at`. */
export function objectExpiry(metadata: ObjectHead["metadata"] | undefined): number {
  const at = Date.parse(metadata?.["expires_at"] ?? "")
  return Number.isNaN(at) ? Number.POSITIVE_INFINITY : at
}

/** The longest lifetime of a V4 signature in Google Cloud Storage. */
const longestLifetime = Duration.days(7)

/** Expiry of a URL signed at `now`, in Unix milliseconds of a whole second: after the lifetime, at most `ends`. */
export function urlExpiry(
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
