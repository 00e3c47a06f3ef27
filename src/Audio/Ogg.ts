/** Pages of an Ogg stream (RFC 3533) of Opus in one channel (RFC 7845). */
import { createHash } from "node:crypto"

export interface Page {
  readonly serial: number
  readonly sequence: number
  /** Samples at 48 kHz from the start of the stream to the end of the page, the pre-skip included. */
  readonly granule: number
  readonly position: "first" | "middle" | "last"
  /** Complete packets. The page has at most 255 segments of 255 bytes. */
  readonly packets: ReadonlyArray<Uint8Array>
}

/** Samples a second of granule positions, whatever the sample rate (RFC 7845, section 4). */
export const granuleRate = 48_000

const fixedHeadSize = 27
const flags = { first: 2, middle: 0, last: 4 } as const

/** The CRC-32 of RFC 3533, with the polynomial 0x04c11db7, not reflected: four tables, to take four bytes at a time. */
const table = new Uint32Array(4 * 256)
for (let byte = 0; byte < 256; byte++) {
  let sum = byte << 24
  for (let at = byte; at < table.length; at += 256) {
    for (let bit = 0; bit < 8; bit++) sum = sum < 0 ? (sum << 1) ^ 0x04c11db7 : sum << 1
    table[at] = sum
  }
}

const crcOf = (bytes: Uint8Array): number => {
  const whole = bytes.length & ~3
  let sum = 0
  let index = 0
  for (; index < whole; index += 4) {
    const a = (sum >>> 24) ^ (bytes[index] ?? 0)
    const b = ((sum >>> 16) & 255) ^ (bytes[index + 1] ?? 0)
    const c = ((sum >>> 8) & 255) ^ (bytes[index + 2] ?? 0)
    const d = (sum & 255) ^ (bytes[index + 3] ?? 0)
    sum = (table[768 + a] ?? 0) ^ (table[512 + b] ?? 0) ^ (table[256 + c] ?? 0) ^ (table[d] ?? 0)
  }
  for (; index < bytes.length; index++) sum = (sum << 8) ^ (table[(sum >>> 24) ^ (bytes[index] ?? 0)] ?? 0)
  return sum >>> 0
}

const lacingOf = (packets: ReadonlyArray<Uint8Array>): ReadonlyArray<number> =>
  packets.flatMap(({ length }) => [...Array.from({ length: Math.floor(length / 255) }, () => 255), length % 255])

/** Bytes of a page with packets of these lengths. */
export function pageSize(lengths: ReadonlyArray<number>): number {
  return lengths.reduce((sum, length) => sum + length + Math.floor(length / 255) + 1, fixedHeadSize)
}

export function page({ granule, packets, position, sequence, serial }: Page): Uint8Array {
  const lacing = lacingOf(packets)
  const head = Buffer.alloc(fixedHeadSize + lacing.length)
  head.write("OggS", 0, "latin1")
  head.writeUInt8(flags[position], 5)
  head.writeBigUInt64LE(BigInt(granule), 6)
  head.writeUInt32LE(serial, 14)
  head.writeUInt32LE(sequence, 18)
  head.writeUInt8(lacing.length, 26)
  head.set(lacing, fixedHeadSize)
  const bytes = Buffer.concat([head, ...packets])
  bytes.writeUInt32LE(crcOf(bytes), 22)
  return bytes
}

/** The same for the same id, so that the bytes of a file depend on nothing else. */
export function serialOf(id: string): number {
  return createHash("sha256").update(id).digest().readUInt32LE(0)
}

const vendor = "spillway"

/** The identification header and the comment header, each in a page. `preSkip`: samples at 48 kHz that players discard. */
export function heads(serial: number, sampleRate: number, preSkip: number): Uint8Array {
  const head = Buffer.alloc(19)
  head.write("OpusHead", 0, "latin1")
  head.writeUInt8(1, 8)
  head.writeUInt8(1, 9)
  head.writeUInt16LE(preSkip, 10)
  head.writeUInt32LE(sampleRate, 12)
  const tags = Buffer.alloc(16 + vendor.length)
  tags.write("OpusTags", 0, "latin1")
  tags.writeUInt32LE(vendor.length, 8)
  tags.write(vendor, 12, "latin1")
  return Buffer.concat([
    page({ serial, sequence: 0, granule: 0, position: "first", packets: [head] }),
    page({ serial, sequence: 1, granule: 0, position: "middle", packets: [tags] })
  ])
}
