/** The object store as modules use it. Adapters: `Storage/Disk`, `Storage/Gcs`, `Storage/MemoryStorage.ts`. */
import { Context, Effect, Schema } from "effect"
import type { Duration, Stream } from "effect"

export * as Crc32c from "./Storage/Crc32c.ts"
export * as ReadBuffers from "./Storage/ReadBuffers.ts"

/** First segments of the keys of chunks, artifacts and staged uploads. The keys of speaker samples begin with a uid. */
export const roots: ReadonlyArray<string> = ["chunks", "merged", "syncing"]

const place = ({
  bucket,
  key,
  operation
}: {
  readonly operation: string
  readonly bucket: string
  readonly key: string
}) =>
  operation === "open" ? `can't open bucket "${bucket}"` : `can't ${operation} ${bucket}${key === "" ? "" : `/${key}`}`

const where = { operation: Schema.String, bucket: Schema.String, key: Schema.String }

/** No object has this key. */
export class ObjectNotFound extends Schema.TaggedError<ObjectNotFound>()("ObjectNotFound", where) {
  override get message() {
    return `${place(this)}: the object does not exist`
  }
}

/** The key has an object with other bytes. Objects are never overwritten. */
export class ObjectConflict extends Schema.TaggedError<ObjectConflict>()("ObjectConflict", where) {
  override get message() {
    return `${place(this)}: an object with other bytes exists`
  }
}

/** The bytes do not match the stored CRC32C: damaged in transit or at rest. */
export class ObjectDamaged extends Schema.TaggedError<ObjectDamaged>()("ObjectDamaged", {
  ...where,
  reason: Schema.String
}) {
  override get message() {
    return `${place(this)}: ${this.reason}`
  }
}

/** A transient failure of the store; the same call may succeed later. */
export class StorageUnavailable extends Schema.TaggedError<StorageUnavailable>()("StorageUnavailable", {
  ...where,
  cause: Schema.Defect()
}) {
  override get message() {
    return `${place(this)}: ${this.cause instanceof Error ? this.cause.message : String(this.cause)}`
  }
}

/** A permanent failure: the store rejects the call (permission, invalid key). */
export class StorageRefused extends Schema.TaggedError<StorageRefused>()("StorageRefused", {
  ...where,
  reason: Schema.String
}) {
  override get message() {
    return `${place(this)}: ${this.reason}`
  }
}

export type ReadError = ObjectNotFound | ObjectDamaged | StorageUnavailable | StorageRefused
export type StorageError = ReadError | ObjectConflict

/** Retries a damaged read once: damage in transit is transient, damage at rest is not. */
export function rereadDamaged<A, E, R>(read: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> {
  return Effect.retry(read, { times: 1, while: (error) => error instanceof ObjectDamaged })
}

/** The properties of an object. `crc32c` is unsigned; `generation` changes when the key gets a new object. */
export interface ObjectHead {
  readonly key: string
  readonly size: number
  readonly crc32c: number
  readonly generation: string
  readonly contentType: string
  readonly metadata: Readonly<Record<string, string>>
  readonly createdAt: Date
}

export interface NewObject {
  readonly key: string
  /** The whole body, or a stream of exactly `size` bytes. */
  readonly body: Uint8Array | { readonly size: number; readonly stream: Stream.Stream<Uint8Array, StorageUnavailable> }
  readonly contentType: string
  readonly metadata: Readonly<Record<string, string>>
}

/** The bytes from `start` to `end`, `end` exclusive. */
export interface ByteRange {
  readonly start: number
  readonly end: number
}

export interface ObjectPage {
  readonly objects: ReadonlyArray<ObjectHead>
  /** Pass it as `after` for the next page; `undefined` on the last page. */
  readonly next: string | undefined
}

/** An object without its body. */
export type NewObjectHead = Pick<NewObject, "key" | "contentType" | "metadata">

export interface SignedUrl {
  readonly url: string
  readonly expiresAt: Date
}

export class Storage extends Context.Service<
  Storage,
  {
    readonly bucket: string
    /** The store itself composes: no bytes are read or written by this process. */
    readonly isComposer: boolean
    /** Infinity where the store has no bound that is known. */
    readonly freeBytes: Effect.Effect<number, StorageUnavailable | StorageRefused>
    /** Create-only, and durable when it returns. Putting the same bytes again succeeds. */
    put(object: NewObject): Effect.Effect<ObjectHead, ObjectConflict | StorageUnavailable | StorageRefused>
    /** A whole object is verified against its CRC32C while it streams. A range past the end is clipped. */
    get(key: string, range?: ByteRange): Stream.Stream<Uint8Array, ReadError>
    /** As `get`, for a range that is wanted at once: in one buffer, which may be given back to `ReadBuffers`. */
    read(key: string, range: ByteRange): Effect.Effect<Uint8Array, ReadError>
    head(key: string): Effect.Effect<ObjectHead, ObjectNotFound | StorageUnavailable | StorageRefused>
    /** In ascending order of key, at most 1,000 a page. A prefix ends in `/`. */
    list(
      prefix: string,
      options?: { readonly after?: string; readonly limit?: number }
    ): Effect.Effect<ObjectPage, StorageUnavailable | StorageRefused>
    /** Concatenates existing objects into a new one, as a put of their bytes. The bytes do not pass through the caller. */
    compose(
      target: NewObjectHead,
      sources: ReadonlyArray<string>
    ): Effect.Effect<ObjectHead, ObjectNotFound | ObjectConflict | StorageUnavailable | StorageRefused>
    /** Replaces all custom metadata atomically. The generation does not change. */
    setMetadata(
      key: string,
      metadata: Readonly<Record<string, string>>
    ): Effect.Effect<ObjectHead, ObjectNotFound | StorageUnavailable | StorageRefused>
    /** Succeeds without effect when the object is missing or has another generation than the given one. */
    remove(
      key: string,
      options?: { readonly generation?: string }
    ): Effect.Effect<void, StorageUnavailable | StorageRefused>
    /** Removes a bounded number at a time. A failure does not stop the others; the first failure is returned. */
    removeMany(keys: ReadonlyArray<string>): Effect.Effect<void, StorageUnavailable | StorageRefused>
    /**
     * A URL for GET requests, ranges included, without credentials. It expires after the lifetime, and no later than
     * `expires_at` in the object's metadata. At least half of its lifetime is left when it is returned.
     */
    signedUrl(
      key: string,
      options: { readonly lifetime: Duration.Duration }
    ): Effect.Effect<SignedUrl, StorageRefused | StorageUnavailable>
  }
>()("spillway/Storage") {}
