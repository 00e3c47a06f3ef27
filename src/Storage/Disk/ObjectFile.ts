/**
 * The file format of an object: its bytes, its head as JSON, and a footer of 16 bytes: length and CRC32C of the JSON (u32
 * LE each) and a magic word. One file needs one fsync and one link, so an object never exists without its metadata.
 */
import { crc32c } from "@node-rs/crc32"
import { Effect, Option, Schema } from "effect"
import type { ObjectHead } from "../../Storage.ts"
import * as Disk from "./Disk.ts"
import { DiskCorrupt } from "./Fault.ts"

const magic = Buffer.from("SPWYOBJ1")
const footerSize = 16

/** Bytes of the first read: enough for nearly every head and footer. */
const tailSize = 1_024

const Tail = Schema.fromJsonString(
  Schema.Struct({
    key: Schema.String,
    size: Schema.Natural,
    crc32c: Schema.Natural,
    generation: Schema.String,
    contentType: Schema.String,
    metadata: Schema.Record(Schema.String, Schema.String),
    createdAt: Schema.DateFromMillis
  })
)

const encode = Schema.encodeSync(Tail)
const decode = Schema.decodeUnknownOption(Tail)

/** The head and footer that follow the object's bytes. */
export function tail(head: ObjectHead): Uint8Array {
  const json = Buffer.from(encode(head))
  const footer = Buffer.alloc(footerSize)
  footer.writeUInt32LE(json.length, 0)
  footer.writeUInt32LE(crc32c(json), 4)
  magic.copy(footer, 8)
  return Buffer.concat([json, footer])
}

const parse = (json: Buffer, sum: number, fileSize: number): Option.Option<ObjectHead> =>
  crc32c(json) === sum
    ? Option.filter(decode(json.toString()), (head) => head.size + json.length + footerSize === fileSize)
    : Option.none()

/** Reads and verifies the head of an open file of `fileSize` bytes. */
export const head = Effect.fnUntraced(function* (fd: number, key: string, fileSize: number) {
  const start = Math.max(0, fileSize - tailSize)
  const end = Buffer.from(yield* Disk.read(fd, fileSize - start, start))
  const footer = end.subarray(-footerSize)
  if (footer.length < footerSize || !footer.subarray(8).equals(magic))
    return yield* new DiskCorrupt({ reason: "no metadata" })
  const length = footer.readUInt32LE(0)
  const jsonStart = fileSize - footerSize - length
  if (jsonStart < 0) return yield* new DiskCorrupt({ reason: "damaged metadata" })
  const json =
    jsonStart >= start
      ? end.subarray(jsonStart - start, -footerSize)
      : Buffer.from(yield* Disk.read(fd, length, jsonStart))
  const found = Option.filter(parse(json, footer.readUInt32LE(4), fileSize), (head) => head.key === key)
  return yield* Effect.mapError(Effect.fromOption(found), () => new DiskCorrupt({ reason: "damaged metadata" }))
})
