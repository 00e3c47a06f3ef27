/**
 * The id of a chunk: a UUID of version 8 (RFC 9562, section 5.8) with random bits, because recovery relies on ids that clients
 * can't guess, and in its last six bytes the time up to which the node knew the purges when the chunk was opened. So the time
 * is durable with the first sample, and moves with the chunk from the journal to any node.
 */
import * as Crypto from "node:crypto"

const bytes = 16
const version = 0x80
const variant = 0x80
const timeAt = 10
const timeBytes = 6

/** `knownAt`: milliseconds of the database's clock. */
export function make(knownAt: number): string {
  const id = Crypto.randomBytes(bytes)
  id.writeUInt8((id.readUInt8(6) & 0x0f) | version, 6)
  id.writeUInt8((id.readUInt8(8) & 0x3f) | variant, 8)
  id.writeUIntBE(knownAt, timeAt, timeBytes)
  return textOf(id)
}

/** Zero for the id of an earlier release, which is older than every purge. */
export function knownAt(id: string): number {
  const read = bytesOf(id)
  const isOurs = (read.readUInt8(6) & 0xf0) === version && (read.readUInt8(8) & 0xc0) === variant
  return isOurs ? read.readUIntBE(timeAt, timeBytes) : 0
}

/** Lowercase and hyphenated, as PostgreSQL prints a uuid. Joined, because V8 keeps concatenated text as its parts. */
export function textOf(id: Uint8Array): string {
  const hex = Buffer.from(id).toString("hex")
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-")
}

export function bytesOf(id: string): Buffer {
  return Buffer.from(id.replaceAll("-", ""), "hex")
}
