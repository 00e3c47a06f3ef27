/**
 * An object as one file: its bytes, what is known of it as JSON, and a foot of 16 bytes: the JSON's length and CRC32C
 * (u32 LE each) and a magic word. One file has one fsync and one name, so an object can't be had without its metadata.
 */
import { crc32c } from "@node-rs/crc32"
import { Effect, Option, Schema } from "effect"
import type { ObjectHead } from "../../Storage.ts"
import * as Disk from "./Disk.ts"
import { DiskCorrupt } from "./Fault.ts"

const magic = Buffer.from("SPWYOBJ1")
const footSize = 16

/** Enough for the tail of nearly every object in one read. */
const guess = 1_024

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

/** What follows the object's bytes in its file. */
export function tail(head: ObjectHead): Uint8Array {
  const json = Buffer.from(encode(head))
  const foot = Buffer.alloc(footSize)
  foot.writeUInt32LE(json.length, 0)
  foot.writeUInt32LE(crc32c(json), 4)
  magic.copy(foot, 8)
  return Buffer.concat([json, foot])
}

const parse = (json: Buffer, sum: number, fileSize: number): Option.Option<ObjectHead> =>
  crc32c(json) === sum
    ? Option.filter(decode(json.toString()), (head) => head.size + json.length + footSize === fileSize)
    : Option.none()

/** What is known of the object in an open file. */
export const head = Effect.fnUntraced(function* (fd: number, key: string) {
  const fileSize = yield* Disk.sizeOf(fd)
  const start = Math.max(0, fileSize - guess)
  const end = Buffer.from(yield* Disk.read(fd, fileSize - start, start))
  const foot = end.subarray(-footSize)
  if (foot.length < footSize || !foot.subarray(8).equals(magic))
    return yield* new DiskCorrupt({ reason: "no metadata" })
  const length = foot.readUInt32LE(0)
  const jsonStart = fileSize - footSize - length
  if (jsonStart < 0) return yield* new DiskCorrupt({ reason: "damaged metadata" })
  const json =
    jsonStart >= start
      ? end.subarray(jsonStart - start, -footSize)
      : Buffer.from(yield* Disk.read(fd, length, jsonStart))
  const found = Option.filter(parse(json, foot.readUInt32LE(4), fileSize), (head) => head.key === key)
  return yield* Effect.mapError(Effect.fromOption(found), () => new DiskCorrupt({ reason: "damaged metadata" }))
})
