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
export function make(knownAt: number): Uint8Array {
  const id = Crypto.randomBytes(bytes)
  id.writeUInt8((id.readUInt8(6) & 0x0f) | version, 6)
  id.writeUInt8((id.readUInt8(8) & 0x3f) | variant, 8)
  id.writeUIntBE(knownAt, timeAt, timeBytes)
  return id
}

/** Zero for the id of an earlier release, which is older than every purge. */
export function knownAt(id: Uint8Array): number {
  const read = Buffer.from(id.buffer, id.byteOffset, id.byteLength)
  const isOurs = (read.readUInt8(6) & 0xf0) === version && (read.readUInt8(8) & 0xc0) === variant
  return isOurs ? read.readUIntBE(timeAt, timeBytes) : 0
}
