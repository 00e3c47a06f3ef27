/** Objects as files, which survive SIGKILL of the process: a file appears whole. Nothing is synced for a loss of power. */
import { createHash } from "node:crypto"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { Schema } from "effect"
import type { StoredObject } from "./Objects.ts"

const text = Schema.UndefinedOr(Schema.String)

/** The first line of a file. The bytes follow it. */
const Head = Schema.Struct({
  bucket: Schema.String,
  name: Schema.String,
  crc32c: Schema.Finite,
  generation: Schema.BigIntFromString,
  metageneration: Schema.Finite,
  contentType: Schema.optional(text),
  contentEncoding: Schema.optional(text),
  cacheControl: Schema.optional(text),
  metadata: Schema.Record(Schema.String, Schema.String),
  created: Schema.DateFromString,
  updated: Schema.DateFromString,
  componentCount: Schema.optional(Schema.Finite)
})
const codec = Schema.fromJsonString(Head)
const [encode, decode] = [Schema.encodeUnknownSync(codec), Schema.decodeUnknownSync(codec)]

const incomplete = ".new"

/** Names have up to 1,024 bytes, files 255. */
const fileOf = (directory: string, bucket: string, name: string) =>
  Path.join(directory, bucket, createHash("sha256").update(name).digest("hex"))

export const save = (directory: string, object: StoredObject): void => {
  const { bytes, ...head } = object
  const file = fileOf(directory, object.bucket, object.name)
  Fs.writeFileSync(`${file}${incomplete}`, Buffer.concat([Buffer.from(`${encode(head)}\n`), bytes]))
  Fs.renameSync(`${file}${incomplete}`, file)
}

export const remove = (directory: string, bucket: string, name: string): void =>
  Fs.rmSync(fileOf(directory, bucket, name), { force: true })

/** All objects of the bucket, whose directory is made if there is none. */
export const load = (directory: string, bucket: string): ReadonlyArray<StoredObject> => {
  const folder = Path.join(directory, bucket)
  Fs.mkdirSync(folder, { recursive: true })
  return Fs.readdirSync(folder)
    .filter((name) => !name.endsWith(incomplete))
    .map((name) => {
      const content = Fs.readFileSync(Path.join(folder, name))
      const end = content.indexOf("\n")
      const { cacheControl, componentCount, contentEncoding, contentType, ...head } = decode(
        content.toString("utf8", 0, end)
      )
      return { ...head, cacheControl, componentCount, contentEncoding, contentType, bytes: content.subarray(end + 1) }
    })
}
