/** Objects as the JSON API writes them. */
import { Effect, Option, Schema } from "effect"
import type { ObjectHead } from "../../Storage.ts"
import type { GcsFault } from "./Fault.ts"
import * as GcsHttp from "./Http.ts"

/** CRC32C as the API writes it: base64 of four bytes, the highest first. */
export function sumText(sum: number): string {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(sum)
  return bytes.toString("base64")
}

export function sumOf(text: string): Option.Option<number> {
  const bytes = Buffer.from(text, "base64")
  return bytes.length === 4 ? Option.some(bytes.readUInt32BE()) : Option.none()
}

/** The sum in an `x-goog-hash` header. */
export function sumOfHeader(header: string | undefined): Option.Option<number> {
  return Option.flatMap(Option.fromNullishOr(/(?:^|,)\s*crc32c=([A-Za-z0-9+/=]+)/.exec(header ?? "")?.[1]), sumOf)
}

/** Every answer with an object asks for these fields, and no more. */
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

export interface GcsObject {
  readonly head: ObjectHead
  /** Changes with the metadata. */
  readonly metageneration: string
}

const toObject = (resource: typeof Resource.Type): GcsObject => ({
  head: {
    key: resource.name,
    size: resource.size,
    crc32c: Option.getOrElse(sumOf(resource.crc32c), () => 0),
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

const decodeObject = GcsHttp.parsed(Schema.decodeEffect(Schema.fromJsonString(Resource)))
const decodePage = GcsHttp.parsed(Schema.decodeEffect(Schema.fromJsonString(Page)))

/** An object in an answer. */
export function object(text: string): Effect.Effect<GcsObject, GcsFault> {
  return Effect.map(decodeObject(text), toObject)
}

/** A part of a listing. */
export function page(text: string) {
  return Effect.map(decodePage(text), ({ items, nextPageToken }) => ({
    heads: (items ?? []).map((item) => toObject(item).head),
    nextPageToken
  }))
}
