/** The object store port. Adapters: `Storage/DiskStorage.ts`, `Storage/MemoryStorage.ts`. */
import { Context, Effect, Schema } from "effect"
import type { Duration, Stream } from "effect"

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

/** There is no object under this key. */
export class ObjectNotFound extends Schema.TaggedError<ObjectNotFound>()("ObjectNotFound", where) {
  override get message() {
    return `${place(this)}: there is no such object`
  }
}

/** There is an object with other bytes under this key; objects are never overwritten. */
export class ObjectConflict extends Schema.TaggedError<ObjectConflict>()("ObjectConflict", where) {
  override get message() {
    return `${place(this)}: there is an object with other bytes`
  }
}

/** The bytes that were read have another CRC32C than those that were put: damaged on the way, or at rest. */
export class ObjectDamaged extends Schema.TaggedError<ObjectDamaged>()("ObjectDamaged", {
  ...where,
  reason: Schema.String
}) {
  override get message() {
    return `${place(this)}: ${this.reason}`
  }
}

/** The store could not answer for now; the same call may work later. */
export class StorageUnavailable extends Schema.TaggedError<StorageUnavailable>()("StorageUnavailable", {
  ...where,
  cause: Schema.Defect()
}) {
  override get message() {
    return `${place(this)}: ${this.cause instanceof Error ? this.cause.message : String(this.cause)}`
  }
}

/** The store will not do this, however often it is asked (permission, bad name). */
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

/** Damage on the way passes, damage at rest stays: one more read tells them apart before anybody sees the error. */
export function rereadDamaged<A, E, R>(read: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> {
  return Effect.retry(read, { times: 1, while: (error) => error instanceof ObjectDamaged })
}

/** What the store knows of an object. `crc32c` is unsigned, `generation` changes when the key gets a new object. */
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
  /** Whole, or as a stream of exactly `size` bytes. */
  readonly body: Uint8Array | { readonly size: number; readonly stream: Stream.Stream<Uint8Array, StorageUnavailable> }
  readonly contentType: string
  readonly metadata: Readonly<Record<string, string>>
}

/** Bytes `start` to `end`, `end` not included. */
export interface ByteRange {
  readonly start: number
  readonly end: number
}

export interface ObjectPage {
  readonly objects: ReadonlyArray<ObjectHead>
  /** Hand it back as `after` to go on; `undefined` on the last page. */
  readonly next: string | undefined
}

/** An object but for its bytes. */
export type NewObjectHead = Pick<NewObject, "key" | "contentType" | "metadata">

export interface SignedUrl {
  readonly url: string
  readonly expiresAt: Date
}

export class Storage extends Context.Service<
  Storage,
  {
    readonly bucket: string
    /** Create-only and durable when it returns. The same bytes again under the same key is success. */
    put(object: NewObject): Effect.Effect<ObjectHead, ObjectConflict | StorageUnavailable | StorageRefused>
    /** Whole objects are checked against their CRC32C while they stream; a range past the end is clipped. */
    get(key: string, range?: ByteRange): Stream.Stream<Uint8Array, ReadError>
    head(key: string): Effect.Effect<ObjectHead, ObjectNotFound | StorageUnavailable | StorageRefused>
    /** By key, ascending, at most 1,000 a page. A prefix ends in `/`. */
    list(
      prefix: string,
      options?: { readonly after?: string; readonly limit?: number }
    ): Effect.Effect<ObjectPage, StorageUnavailable | StorageRefused>
    /** Existing objects, one after the other, as a new one: a put of their bytes, which do not pass through the caller. */
    compose(
      target: NewObjectHead,
      sources: ReadonlyArray<string>
    ): Effect.Effect<ObjectHead, ObjectNotFound | ObjectConflict | StorageUnavailable | StorageRefused>
    /** All of the custom metadata, at once: a reader sees the old or the new. The generation stays. */
    setMetadata(
      key: string,
      metadata: Readonly<Record<string, string>>
    ): Effect.Effect<ObjectHead, ObjectNotFound | StorageUnavailable | StorageRefused>
    /** Success without deleting: a missing object, or one of another generation than the given. */
    remove(
      key: string,
      options?: { readonly generation?: string }
    ): Effect.Effect<void, StorageUnavailable | StorageRefused>
    /** A bounded number at a time. One that can't be removed does not keep the others; the first failure is the answer. */
    removeMany(keys: ReadonlyArray<string>): Effect.Effect<void, StorageUnavailable | StorageRefused>
    /**
     * For a GET of the object by whoever has the URL, ranges included, until it expires: after the lifetime, and no later
     * than the object does by its metadata's `expires_at`. At least half of what it lived for is left when it is handed out.
     */
    signedUrl(
      key: string,
      options: { readonly lifetime: Duration.Duration }
    ): Effect.Effect<SignedUrl, StorageRefused | StorageUnavailable>
  }
>()("spillway/Storage") {}
