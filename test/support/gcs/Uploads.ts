/** Uploads: in one request with their metadata, or resumable in chunks. */
import { randomUUID } from "node:crypto"
import { ApiError, invalid } from "./ApiError.ts"
import type { Attributes, Objects, StoredObject } from "./Objects.ts"

/** Every chunk but the last is a multiple of this. */
const granule = 256 * 1_024

interface Session {
  readonly bucket: string
  readonly name: string
  readonly said: Attributes
  readonly query: URLSearchParams
  readonly size: number | undefined
  bytes: Buffer
  done: StoredObject | undefined
}

/** The request's body, and whether it is complete. */
export interface Received {
  readonly bytes: Buffer
  readonly isWhole: boolean
}

export type ChunkReply =
  | { readonly kind: "done"; readonly object: StoredObject }
  | { readonly kind: "more"; readonly range: string | undefined }

const isText = (value: unknown): value is string | undefined => value === undefined || typeof value === "string"

const isTexts = (value: unknown): value is Attributes["metadata"] =>
  value === undefined || (typeof value === "object" && value !== null)

/** The writable fields of an object resource. */
export const attributes = (text: string): Attributes & { readonly name: string | undefined } => {
  const value = parse(text === "" ? "{}" : text)
  const { cacheControl, contentEncoding, contentType, crc32c, md5Hash, metadata, name } = value
  if (
    !isText(cacheControl) ||
    !isText(contentEncoding) ||
    !isText(contentType) ||
    !isText(crc32c) ||
    !isText(md5Hash) ||
    !isText(name) ||
    !isTexts(metadata)
  ) {
    throw invalid("Invalid value in the object resource")
  }
  return { cacheControl, contentEncoding, contentType, crc32c, md5Hash, name, metadata }
}

const parse = (text: string): Record<string, unknown> => {
  try {
    const value: unknown = JSON.parse(text)
    if (typeof value === "object" && value !== null) return { ...value }
  } catch {}
  throw invalid("Parse Error")
}

/** RFC 2387: the object resource, then the bytes. */
const related = (type: string | undefined, body: Buffer): { readonly resource: string; readonly part: Part } => {
  const boundary = /^multipart\/related\s*;.*boundary=(?:"([^"]+)"|([^\s;]+))/i.exec(type ?? "")
  const text = boundary?.[1] ?? boundary?.[2]
  if (text === undefined) throw invalid("The content type is not multipart/related with a boundary")
  const mark = Buffer.from(`--${text}`)
  const next = Buffer.from(`\r\n--${text}`)
  const parts: Array<Part> = []
  let at = body.indexOf(mark)
  while (at >= 0 && body.subarray(at + mark.length, at + mark.length + 2).toString() !== "--") {
    const start = body.indexOf("\r\n", at + mark.length) + 2
    const end = body.indexOf(next, start)
    const isEmptyHead = body.subarray(start, start + 2).toString() === "\r\n"
    const headEnd = isEmptyHead ? start - 2 : body.indexOf("\r\n\r\n", start)
    if (start < 2 || end < 0 || headEnd < 0 || headEnd > end) throw invalid("Malformed multipart body")
    const head = body.subarray(start, Math.max(start, headEnd)).toString()
    parts.push({
      type: /^content-type:\s*(.*?)\s*$/im.exec(head)?.[1],
      bytes: body.subarray(headEnd + 4, end)
    })
    at = end + 2
  }
  const [first, second] = parts
  if (first === undefined || second === undefined || parts.length !== 2) throw invalid("Malformed multipart body")
  if (!/^application\/json\b/i.test(first.type ?? "")) throw invalid("The first part is not JSON")
  return { resource: first.bytes.toString(), part: second }
}

interface Part {
  readonly type: string | undefined
  readonly bytes: Buffer
}

/** `crc32c=…,md5=…` */
const hashes = (header: string | undefined): Attributes => {
  const found = new Map(
    (header ?? "").split(",").map((each) => [each.slice(0, each.indexOf("=")), each.replace(/^[^=]*=/, "")])
  )
  return { crc32c: found.get("crc32c"), md5Hash: found.get("md5") }
}

const wanted = (name: string | undefined): string => {
  if (name === undefined) throw invalid("Required: name")
  return name
}

export class Uploads {
  readonly #sessions = new Map<string, Session>()
  readonly #objects: Objects

  constructor(objects: Objects) {
    this.#objects = objects
  }

  multipart(bucket: string, query: URLSearchParams, type: string | undefined, body: Buffer): StoredObject {
    const { part, resource } = related(type, body)
    const said = attributes(resource)
    const name = wanted(said.name ?? query.get("name") ?? undefined)
    const contentType = said.contentType ?? part.type
    return this.#objects.put(bucket, name, Buffer.from(part.bytes), { ...said, contentType }, query)
  }

  simple(bucket: string, query: URLSearchParams, type: string | undefined, body: Buffer, hash: string | undefined) {
    const name = wanted(query.get("name") ?? undefined)
    return this.#objects.put(bucket, name, body, { ...hashes(hash), contentType: type }, query)
  }

  /** Returns the session's id. Preconditions are checked now and with the last byte. */
  start(bucket: string, query: URLSearchParams, type: string | undefined, size: string | undefined, resource: string) {
    const said = attributes(resource)
    const name = wanted(said.name ?? query.get("name") ?? undefined)
    if (size !== undefined && !/^\d+$/.test(size)) throw invalid("Invalid X-Upload-Content-Length")
    this.#objects.checkWrite(bucket, name, query)
    const id = randomUUID()
    this.#sessions.set(id, {
      bucket,
      name,
      said: { ...said, contentType: said.contentType ?? type },
      query,
      size: size === undefined ? undefined : Number(size),
      bytes: Buffer.alloc(0),
      done: undefined
    })
    return id
  }

  cancel(id: string): never {
    if (!this.#sessions.delete(id)) throw new ApiError(404, "Upload session not found")
    throw new ApiError(499, "Client Closed Request")
  }

  /** Stores a chunk, or answers a status query (`bytes *\/…`). Of an incomplete chunk, whole granules are kept. */
  chunk(id: string, header: string | undefined, received: Received, hash: string | undefined): ChunkReply {
    const session = this.#sessions.get(id)
    if (session === undefined) throw new ApiError(404, "Upload session not found")
    if (session.done !== undefined) return { kind: "done", object: session.done }
    const range = /^bytes (?:(\d+)-(\d+)|\*)\/(\d+|\*)$/.exec(header ?? `bytes 0-${received.bytes.length - 1}/*`)
    if (range === null) throw invalid("Failed to parse Content-Range header.")
    const total = range[3] === "*" ? undefined : Number(range[3])
    if (session.size !== undefined && total !== undefined && total !== session.size) {
      throw invalid("The total size is not what was announced")
    }
    if (range[1] === undefined) {
      if (received.bytes.length > 0) throw invalid("A query of the state has no body")
      if (total === undefined || total !== session.bytes.length) return this.#more(session)
      return this.#finish(session, hash)
    }
    const [first, last] = [Number(range[1]), Number(range[2])]
    if (first > last || (total !== undefined && last >= total)) throw invalid("Failed to parse Content-Range header.")
    if (received.isWhole && received.bytes.length !== last - first + 1) {
      throw invalid(`There were ${received.bytes.length} bytes in the request body, not those of the Content-Range.`)
    }
    const isLast = header === undefined || (total !== undefined && last + 1 === total)
    if (!isLast && (last - first + 1) % granule !== 0) {
      throw invalid("The chunk's size is not a multiple of 256 KiB")
    }
    if (first > session.bytes.length) throw new ApiError(503, "The chunk starts after what is there")
    const fresh = received.bytes.subarray(session.bytes.length - first)
    const kept = received.isWhole ? fresh : fresh.subarray(0, fresh.length - (fresh.length % granule))
    session.bytes = Buffer.concat([session.bytes, kept])
    return received.isWhole && isLast ? this.#finish(session, hash) : this.#more(session)
  }

  #finish(session: Session, hash: string | undefined): ChunkReply {
    const sums = hashes(hash)
    const said = {
      ...session.said,
      crc32c: sums.crc32c ?? session.said.crc32c,
      md5Hash: sums.md5Hash ?? session.said.md5Hash
    }
    session.done = this.#objects.put(session.bucket, session.name, session.bytes, said, session.query)
    return { kind: "done", object: session.done }
  }

  #more({ bytes }: Session): ChunkReply {
    return { kind: "more", range: bytes.length === 0 ? undefined : `bytes=0-${bytes.length - 1}` }
  }
}
