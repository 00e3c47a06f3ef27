/** Objects and buckets as JSON API resources, with all or some of their fields. */
import { sumText } from "./Objects.ts"
import type { StoredObject } from "./Objects.ts"

export type Json = string | number | boolean | null | ReadonlyArray<Json> | { readonly [name: string]: Json }

const without = (entries: ReadonlyArray<readonly [string, Json | undefined]>): Json =>
  Object.fromEntries(entries.flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])))

/** The API encodes 64-bit numbers as strings. */
export const object = (stored: StoredObject, host: string): Json => {
  const path = `/b/${stored.bucket}/o/${encodeURIComponent(stored.name)}`
  return without([
    ["kind", "storage#object"],
    ["id", `${stored.bucket}/${stored.name}/${stored.generation}`],
    ["selfLink", `${host}/storage/v1${path}`],
    ["mediaLink", `${host}/download/storage/v1${path}?generation=${stored.generation}&alt=media`],
    ["name", stored.name],
    ["bucket", stored.bucket],
    ["generation", String(stored.generation)],
    ["metageneration", String(stored.metageneration)],
    ["contentType", stored.contentType],
    ["contentEncoding", stored.contentEncoding],
    ["cacheControl", stored.cacheControl],
    ["storageClass", "STANDARD"],
    ["size", String(stored.bytes.length)],
    ["crc32c", sumText(stored.crc32c)],
    ["etag", `${stored.generation}/${stored.metageneration}`],
    ["timeCreated", stored.created.toISOString()],
    ["updated", stored.updated.toISOString()],
    ["componentCount", stored.componentCount],
    ["metadata", Object.keys(stored.metadata).length === 0 ? undefined : stored.metadata]
  ])
}

export const bucket = (name: string): Json => ({
  kind: "storage#bucket",
  id: name,
  name,
  location: "US",
  storageClass: "STANDARD",
  metageneration: "1"
})

/** `a,b(c,d),e/f` as a tree. */
type Mask = Map<string, Mask | undefined>

const parse = (text: string): Mask => {
  const mask: Mask = new Map()
  const cut = (at: number): number => {
    let depth = 0
    for (let i = at; i < text.length; i++) {
      if (text[i] === "(") depth++
      if (text[i] === ")") depth--
      if (text[i] === "," && depth === 0) return i
    }
    return text.length
  }
  for (let at = 0; at < text.length;) {
    const end = cut(at)
    const part = text.slice(at, end)
    const inner = /^([^(/]+)(?:\((.*)\)|\/(.*))?$/.exec(part)
    const rest = inner?.[2] ?? inner?.[3]
    mask.set(inner?.[1] ?? part, rest === undefined ? undefined : parse(rest))
    at = end + 1
  }
  return mask
}

const isList = (value: Json): value is ReadonlyArray<Json> => Array.isArray(value)

const keep = (value: Json, mask: Mask): Json => {
  if (isList(value)) return value.map((each) => keep(each, mask))
  if (value === null || typeof value !== "object" || mask.has("*")) return value
  return without(
    Object.entries(value).map(([name, each]) => {
      const inner = mask.get(name)
      if (!mask.has(name)) return [name, undefined]
      return [name, inner === undefined ? each : keep(each, inner)]
    })
  )
}

/** Applies the query's `fields`. */
export const some = (value: Json, query: URLSearchParams): Json => {
  const fields = query.get("fields")
  return fields === null ? value : keep(value, parse(fields))
}
