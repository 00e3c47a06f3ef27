/** What every adapter accepts: names, prefixes, ranges and metadata, checked before the store is touched. */
import { Effect } from "effect"
import { StorageRefused } from "../Storage.ts"
import type { ByteRange, NewObject, ObjectHead } from "../Storage.ts"

/** A page of a listing holds at most this many objects. */
export const pageSize = 1_000

/** Object names in Google Cloud Storage hold at most 1,024 bytes. */
const keySize = 1_024

/** Leaves room, in a file name of 255 bytes, for what `DiskName` adds. */
const segmentSize = 200

/** Google Cloud Storage keeps at most 8 KiB of custom metadata per object. */
const metadataSize = 8_192

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
export const key = (at: At): Effect.Effect<void, StorageRefused> =>
  refuseUnless(isKey(at.key), at, "not an object name")

/** Empty (everything), or a name and `/`. */
export const prefix = (at: At): Effect.Effect<void, StorageRefused> =>
  refuseUnless(at.key === "" || (at.key.endsWith("/") && isKey(at.key.slice(0, -1))), at, "not a prefix that ends in /")

/** The range that is there of what was asked for. */
export const range = (at: At, asked: ByteRange | undefined, size: number): Effect.Effect<ByteRange, StorageRefused> => {
  if (asked === undefined) return Effect.succeed({ start: 0, end: size })
  const { end, start } = asked
  return Number.isSafeInteger(start) && Number.isSafeInteger(end) && start >= 0 && end >= start
    ? Effect.succeed({ start: Math.min(start, size), end: Math.min(end, size) })
    : new StorageRefused({ ...at, reason: "not a range" })
}

/** Metadata of at most 8 KiB, names and values together. */
export const metadata = (at: At, object: NewObject): Effect.Effect<void, StorageRefused> => {
  const text = Object.entries(object.metadata).flat().join("") + object.contentType
  return refuseUnless(Buffer.byteLength(text) <= metadataSize, at, `more than ${metadataSize} bytes of metadata`)
}

/** How many objects a page may hold. */
export const limit = (asked: number | undefined): number =>
  Math.max(1, Math.min(pageSize, Math.trunc(asked ?? pageSize)))

/** A put that found an object under its key: the same put, if the bytes are the same. */
export const isSamePut = (existing: ObjectHead, put: { readonly size: number; readonly crc32c: number }): boolean =>
  existing.size === put.size && existing.crc32c === put.crc32c
