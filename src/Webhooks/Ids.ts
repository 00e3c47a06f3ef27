/** Ids as they are in the API and in requests: UUIDs of version 7, in order of time, with a prefix. */
import { Schema, SchemaTransformation } from "effect"

const publicId = (prefix: string, uuid: string): string => `${prefix}_${uuid.replaceAll("-", "")}`

const uuidOf = (id: string): string =>
  id.slice(id.indexOf("_") + 1).replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5")

const schemaOf = (prefix: string) => {
  const form = new RegExp(`^${prefix}_[0-9a-f]{32}$`)
  return Schema.String.check(
    Schema.makeFilter((text) => form.test(text), { expected: `${prefix}_ and 32 hexadecimal digits` })
  ).pipe(
    Schema.decodeTo(
      Schema.String,
      SchemaTransformation.transform({ decode: uuidOf, encode: (uuid) => publicId(prefix, uuid) })
    )
  )
}

/** A UUID as `ep_…`. */
export const EndpointId = schemaOf("ep")

/** A UUID as `evt_…`. */
export const EventId = schemaOf("evt")

export function endpointId(uuid: string): string {
  return publicId("ep", uuid)
}

/** The id that receivers see, the same in all attempts. */
export function eventId(uuid: string): string {
  return publicId("evt", uuid)
}

/** When the id was made, in milliseconds since the Unix epoch. */
export function madeAt(uuid: string): number {
  return Number.parseInt(uuid.slice(0, 8) + uuid.slice(9, 13), 16)
}

/** The least id of this time or later. */
export function firstAt(millis: number): string {
  const hex = Math.max(0, Math.floor(millis)).toString(16).padStart(12, "0")
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-0000-0000-000000000000`
}
