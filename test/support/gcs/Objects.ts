/** Buckets and their objects, in memory or also on disk, with Google's preconditions and limits. */
import { crc32c } from "@node-rs/crc32"
import { createHash } from "node:crypto"
import { ApiError, invalid, notFound } from "./ApiError.ts"
import * as ObjectFiles from "./ObjectFiles.ts"

export interface StoredObject {
  readonly bucket: string
  readonly name: string
  readonly bytes: Buffer
  readonly crc32c: number
  readonly generation: bigint
  readonly metageneration: number
  readonly contentType: string | undefined
  readonly contentEncoding: string | undefined
  readonly cacheControl: string | undefined
  readonly metadata: Readonly<Record<string, string>>
  readonly created: Date
  readonly updated: Date
  readonly componentCount: number | undefined
}

/** Fields of an object that writers can set. */
export interface Attributes {
  readonly contentType?: string | undefined
  readonly contentEncoding?: string | undefined
  readonly cacheControl?: string | undefined
  readonly metadata?: Readonly<Record<string, string | null>> | undefined
  readonly crc32c?: string | undefined
  readonly md5Hash?: string | undefined
}

export const sumText = (sum: number): string => {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(sum)
  return bytes.toString("base64")
}

/** Google orders names by their UTF-8 bytes. */
export const inOrder = (a: string, b: string): number => Buffer.compare(Buffer.from(a), Buffer.from(b))

const number = (query: URLSearchParams, name: string): bigint | undefined => {
  const text = query.get(name)
  if (text === null) return undefined
  if (!/^\d{1,19}$/.test(text)) throw invalid(`Invalid value for ${name}: ${text}`)
  return BigInt(text)
}

/** Reads get 304 when a not-match condition matches. */
const check = (query: URLSearchParams, object: StoredObject | undefined, prefix = "if", isRead = false) => {
  const failed = (isNegative: boolean) =>
    new ApiError(isNegative && isRead ? 304 : 412, "At least one of the pre-conditions you specified did not hold.")
  const generation = object?.generation ?? 0n
  const metageneration = object === undefined ? undefined : BigInt(object.metageneration)
  const [is, isNot] = [number(query, `${prefix}GenerationMatch`), number(query, `${prefix}GenerationNotMatch`)]
  const [meta, metaNot] = [
    number(query, `${prefix}MetagenerationMatch`),
    number(query, `${prefix}MetagenerationNotMatch`)
  ]
  if (is !== undefined && is !== generation) throw failed(false)
  if (isNot !== undefined && isNot === generation) throw failed(true)
  if (meta !== undefined && meta !== metageneration) throw failed(false)
  if (metaNot !== undefined && metaNot === metageneration) throw failed(true)
}

const checkName = (name: string) => {
  const size = Buffer.byteLength(name)
  const isLegal = size >= 1 && size <= 1_024 && !/[\r\n]/.test(name) && name !== "." && name !== ".."
  if (!isLegal || name.startsWith(".well-known/acme-challenge/")) throw invalid("Invalid object name")
}

const checkMetadata = (metadata: Readonly<Record<string, unknown>>) => {
  const entries = Object.entries(metadata)
  if (entries.some(([, value]) => typeof value !== "string" && value !== null)) throw invalid("Invalid metadata value")
  if (Buffer.byteLength(entries.flat().join("")) > 8_192) throw invalid("Metadata is too large")
}

const present = (metadata: Attributes["metadata"]): Record<string, string> =>
  Object.fromEntries(Object.entries(metadata ?? {}).flatMap(([name, value]) => (value === null ? [] : [[name, value]])))

/** `writesPerSecond`: limit of writes to one name. With a directory, a change is in a file before it is answered. */
export class Objects {
  readonly #buckets = new Map<string, Map<string, StoredObject>>()
  readonly #written = new Map<string, number>()
  readonly #writesPerSecond: number
  readonly #directory: string | undefined
  #generation = BigInt(Date.now()) * 1_000n

  constructor(writesPerSecond: number, directory?: string) {
    this.#writesPerSecond = writesPerSecond
    this.#directory = directory
  }

  get buckets(): ReadonlyArray<string> {
    return [...this.#buckets.keys()]
  }

  createBucket(name: string) {
    if (!/^[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]$/.test(name)) throw invalid(`Invalid bucket name: '${name}'`)
    if (this.#buckets.has(name)) throw new ApiError(409, "Your previous request to create the named bucket succeeded.")
    const objects = this.#directory === undefined ? [] : ObjectFiles.load(this.#directory, name)
    this.#buckets.set(name, new Map(objects.map((object) => [object.name, object])))
  }

  removeBucket(name: string) {
    if (this.bucket(name).size > 0) throw new ApiError(409, "The bucket you tried to delete is not empty.")
    this.#buckets.delete(name)
  }

  bucket(name: string): Map<string, StoredObject> {
    const bucket = this.#buckets.get(name)
    if (bucket === undefined) throw new ApiError(404, "The specified bucket does not exist.")
    return bucket
  }

  /** The live object; of the generation in `query`, if there is one. */
  get(bucket: string, name: string, query: URLSearchParams, prefix = "if"): StoredObject {
    const object = this.bucket(bucket).get(name)
    const generation = number(query, prefix === "if" ? "generation" : "sourceGeneration")
    if (object === undefined || (generation !== undefined && generation !== object.generation)) {
      throw notFound(`No such object: ${bucket}/${name}. Object`)
    }
    check(query, object, prefix, prefix === "if")
    return object
  }

  /** Checks before the body is read; `put` checks again. */
  checkWrite(bucket: string, name: string, query: URLSearchParams) {
    checkName(name)
    check(query, this.bucket(bucket).get(name))
  }

  put(
    bucket: string,
    name: string,
    bytes: Buffer,
    said: Attributes,
    query: URLSearchParams,
    componentCount?: number
  ): StoredObject {
    checkName(name)
    checkMetadata(said.metadata ?? {})
    const objects = this.bucket(bucket)
    check(query, objects.get(name))
    const sum = crc32c(bytes)
    if (said.crc32c !== undefined && said.crc32c !== sumText(sum)) {
      throw invalid(`Provided CRC32C "${said.crc32c}" doesn't match calculated CRC32C "${sumText(sum)}".`)
    }
    if (said.md5Hash !== undefined && said.md5Hash !== createHash("md5").update(bytes).digest("base64")) {
      throw invalid("Provided MD5 hash doesn't match calculated MD5 hash.")
    }
    this.#limit(bucket, name)
    const now = new Date()
    const object: StoredObject = {
      bucket,
      name,
      bytes,
      crc32c: sum,
      generation: ++this.#generation,
      metageneration: 1,
      contentType: said.contentType,
      contentEncoding: said.contentEncoding,
      cacheControl: said.cacheControl,
      metadata: present(said.metadata),
      created: now,
      updated: now,
      componentCount
    }
    return this.#set(object)
  }

  /** PATCH merges, and null takes away; PUT replaces. */
  update(bucket: string, name: string, said: Attributes, query: URLSearchParams, isPatch: boolean): StoredObject {
    const object = this.get(bucket, name, query)
    check(query, object)
    const metadata =
      isPatch && said.metadata !== null ? { ...object.metadata, ...said.metadata } : (said.metadata ?? {})
    checkMetadata(present(metadata))
    this.#limit(bucket, name)
    const kept = isPatch ? object : undefined
    const changed: StoredObject = {
      ...object,
      metageneration: object.metageneration + 1,
      contentType: said.contentType ?? kept?.contentType,
      contentEncoding: said.contentEncoding ?? kept?.contentEncoding,
      cacheControl: said.cacheControl ?? kept?.cacheControl,
      metadata: present(metadata),
      updated: new Date()
    }
    return this.#set(changed)
  }

  remove(bucket: string, name: string, query: URLSearchParams) {
    check(query, this.get(bucket, name, query))
    if (this.#directory !== undefined) ObjectFiles.remove(this.#directory, bucket, name)
    this.bucket(bucket).delete(name)
  }

  #set(object: StoredObject): StoredObject {
    if (this.#directory !== undefined) ObjectFiles.save(this.#directory, object)
    this.bucket(object.bucket).set(object.name, object)
    return object
  }

  #limit(bucket: string, name: string) {
    if (!Number.isFinite(this.#writesPerSecond)) return
    const at = `${bucket}/${name}`
    const now = performance.now()
    const last = this.#written.get(at)
    if (last !== undefined && now - last < 1_000 / this.#writesPerSecond) {
      throw new ApiError(429, `The object ${at} exceeded the rate limit for object mutation operations.`)
    }
    this.#written.set(at, now)
  }
}
