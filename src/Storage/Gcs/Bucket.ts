/** The bucket that the parts of `GcsStorage` share: its limits, its objects in the JSON API, and requests for one object. */
import { Effect, Option, Schema } from "effect"
import { ObjectNotFound } from "../../Storage.ts"
import type { ObjectHead } from "../../Storage.ts"
import { transient, translate } from "./Fault.ts"
import type { GcsFault } from "./Fault.ts"
import type { GcsConfig } from "./GcsConfig.ts"
import * as Http from "./Http.ts"
import * as Policy from "./Policy.ts"
import * as Validation from "../Validation.ts"

export interface Bucket {
  readonly name: string
  readonly config: GcsConfig["Service"]
  readonly http: Http.HttpClient
  /** How many objects are processed at a time. */
  readonly window: number
}

export function objects({ name }: Bucket): string {
  return `/storage/v1/b/${name}/o`
}

export function path(bucket: Bucket, key: string): string {
  return `${objects(bucket)}/${encodeURIComponent(key)}`
}

/** CRC32C as the API writes it: base64 of four bytes, big-endian. */
export function crcText(sum: number): string {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(sum)
  return bytes.toString("base64")
}

export function parseCrc(text: string): Option.Option<number> {
  const bytes = Buffer.from(text, "base64")
  return bytes.length === 4 ? Option.some(bytes.readUInt32BE()) : Option.none()
}

/** The CRC32C in an `x-goog-hash` header. */
export function crcOfHeader(header: string | undefined): Option.Option<number> {
  return Option.flatMap(Option.fromNullishOr(/(?:^|,)\s*crc32c=([A-Za-z0-9+/=]+)/.exec(header ?? "")?.[1]), parseCrc)
}

export const fields = "name,size,crc32c,generation,metageneration,contentType,metadata,timeCreated"

const Resource = Schema.Struct({
  name: Schema.String,
  size: Schema.NumberFromString,
  crc32c: Schema.String,
  generation: Schema.String,
  metageneration: Schema.String,
  contentType: Schema.optionalKey(Schema.String),
  metadata: Schema.optionalKey(Schema.Record(Schema.String, Schema.String)),
  timeCreated: Schema.String
})

export interface StoredObject {
  readonly head: ObjectHead
  /** Changes whenever the metadata changes. */
  readonly metageneration: string
}

const toObject = (resource: typeof Resource.Type): StoredObject => ({
  head: {
    key: resource.name,
    size: resource.size,
    crc32c: Option.getOrElse(parseCrc(resource.crc32c), () => 0),
    generation: resource.generation,
    contentType: resource.contentType ?? "application/octet-stream",
    metadata: resource.metadata ?? {},
    createdAt: new Date(resource.timeCreated)
  },
  metageneration: resource.metageneration
})

const Page = Schema.Struct({
  items: Schema.optionalKey(Schema.Array(Resource)),
  nextPageToken: Schema.optionalKey(Schema.String)
})

const decodeObject = Http.parsed(Schema.decodeEffect(Schema.fromJsonString(Resource)))
const decodePage = Http.parsed(Schema.decodeEffect(Schema.fromJsonString(Page)))

export function object(text: string): Effect.Effect<StoredObject, GcsFault> {
  return Effect.map(decodeObject(text), toObject)
}

export function page(text: string) {
  return Effect.map(decodePage(text), ({ items, nextPageToken }) => ({
    heads: (items ?? []).map((item) => toObject(item).head),
    nextPageToken
  }))
}

/** Turns a fault with one of these statuses into none. */
export function noneOn(...statuses: ReadonlyArray<number>) {
  return <A, R>(effect: Effect.Effect<A, GcsFault, R>): Effect.Effect<Option.Option<A>, GcsFault, R> =>
    Effect.catchTag(Effect.asSome(effect), "GcsFault", (fault) =>
      fault.status !== undefined && statuses.includes(fault.status) ? Effect.succeedNone : Effect.fail(fault)
    )
}

/** One attempt. None when there is no such object. */
export function lookup(bucket: Bucket, key: string): Effect.Effect<Option.Option<StoredObject>, GcsFault> {
  return bucket.http
    .text({ method: "GET", path: `${path(bucket, key)}?fields=${fields}` })
    .pipe(Effect.flatMap(object), noneOn(404))
}

/** One attempt. An object of another generation stays. */
export function remove(bucket: Bucket, key: string, generation: string): Effect.Effect<void, GcsFault> {
  return bucket.http
    .text({ method: "DELETE", path: `${path(bucket, key)}?ifGenerationMatch=${generation}` })
    .pipe(noneOn(404, 412), Effect.asVoid)
}

export function head(bucket: Bucket, at: Validation.At) {
  return Effect.flatMap(
    Effect.mapError(Policy.retry(bucket.config, lookup(bucket, at.key)), translate(at)),
    Option.match({ onNone: () => new ObjectNotFound(at), onSome: (found) => Effect.succeed(found.head) })
  )
}

/** Size and CRC32C of the bytes that were sent. */
export interface Checksum {
  readonly size: number
  readonly crc32c: number
}

/** The object that a put created or found; none when the key holds other bytes. */
export type Outcome = Option.Option<ObjectHead>

/** The outcome of a put whose key already has an object. */
export function verifyExisting(bucket: Bucket, key: string, sum: Checksum): Effect.Effect<Outcome, GcsFault> {
  return Effect.flatMap(
    lookup(bucket, key),
    Option.match({
      onNone: () => Effect.fail(transient("the existing object was removed meanwhile")),
      onSome: ({ head }) => Effect.succeed(Validation.isSamePut(head, sum) ? Option.some(head) : Option.none())
    })
  )
}

/** The outcome of a put that created an object. An object with other bytes than were sent is removed. */
export function verifyCreated(bucket: Bucket, { head }: StoredObject, sum: Checksum): Effect.Effect<Outcome, GcsFault> {
  return Validation.isSamePut(head, sum)
    ? Effect.succeedSome(head)
    : Effect.andThen(
        remove(bucket, head.key, head.generation),
        Effect.fail(transient("the bytes were damaged in transit"))
      )
}

/** The declared CRC32C is right, so a rejection that names it means damage in transit. */
export function damageIsTransient(fault: GcsFault): GcsFault {
  return fault.status === 400 && /crc32c/i.test(fault.reason) ? transient(fault.message) : fault
}
