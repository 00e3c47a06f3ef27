/** Reads archives by their central directory, with ZIP64, as programs do that open them. */
import { crc32 } from "node:zlib"

interface Unpacked {
  readonly name: string
  readonly content: Buffer
  /** Unix seconds. */
  readonly modified: number
}

const extraOf = (extra: Buffer, id: number): Buffer | undefined => {
  for (let at = 0; at < extra.length; at += 4 + extra.readUInt16LE(at + 2))
    if (extra.readUInt16LE(at) === id) return extra.subarray(at + 4, at + 4 + extra.readUInt16LE(at + 2))
  return undefined
}

/** Throws if the archive is not whole. */
export const unpack = (zip: Buffer): ReadonlyArray<Unpacked> => {
  const end = zip.length - 22
  const expect = (at: number, signature: number) => {
    if (at < 0 || zip.readUInt32LE(at) !== signature) throw new Error(`no ${signature.toString(16)} at ${at}`)
  }
  expect(end, 0x06054b50)
  let [count, size, offset] = [zip.readUInt16LE(end + 10), zip.readUInt32LE(end + 12), zip.readUInt32LE(end + 16)]
  if (offset === 0xffff_ffff) {
    expect(end - 20, 0x07064b50)
    const at = Number(zip.readBigUInt64LE(end - 12))
    expect(at, 0x06064b50)
    const number = (offset: number) => Number(zip.readBigUInt64LE(at + offset))
    count = number(32)
    size = number(40)
    offset = number(48)
    if (at !== offset + size) throw new Error("the end is not behind the directory")
  } else if (end !== offset + size) throw new Error("the end is not behind the directory")
  const entries: Array<Unpacked> = []
  /** Where the next local header begins: nothing lies between the entries, or before the directory. */
  let next = 0
  for (let at = offset; at < offset + size;) {
    expect(at, 0x02014b50)
    const [nameLength, extraLength] = [zip.readUInt16LE(at + 28), zip.readUInt16LE(at + 30)]
    const name = zip.toString("utf8", at + 46, at + 46 + nameLength)
    const extra = zip.subarray(at + 46 + nameLength, at + 46 + nameLength + extraLength)
    const large = [...Array(Math.floor((extraOf(extra, 1)?.length ?? 0) / 8)).keys()].map((index) =>
      Number(extraOf(extra, 1)?.readBigUInt64LE(index * 8))
    )
    const field = (offset: number) => {
      const value = zip.readUInt32LE(at + offset)
      return value === 0xffff_ffff ? (large.shift() ?? -1) : value
    }
    const [length, packed, local] = [field(24), field(20), field(42)]
    if (length !== packed) throw new Error("compressed")
    expect(local, 0x04034b50)
    if (local !== next) throw new Error(`a header at ${local} instead of ${next}`)
    const localName = local + 30 + zip.readUInt16LE(local + 26)
    const begin = localName + zip.readUInt16LE(local + 28)
    const isZip64 = extraOf(zip.subarray(localName, begin), 1) !== undefined
    if (zip.toString("utf8", local + 30, local + 30 + nameLength) !== name) throw new Error("another name")
    const content = zip.subarray(begin, begin + length)
    expect(begin + length, 0x08074b50)
    const crc = zip.readUInt32LE(at + 16)
    if (crc32(content) !== crc || zip.readUInt32LE(begin + length + 4) !== crc) throw new Error("another checksum")
    const sizes = [begin + length + 8, begin + length + (isZip64 ? 16 : 12)]
    if (sizes.some((at) => (isZip64 ? Number(zip.readBigUInt64LE(at)) : zip.readUInt32LE(at)) !== length))
      throw new Error("another size")
    next = begin + length + (isZip64 ? 24 : 16)
    entries.push({ name, content, modified: extraOf(extra, 0x5455)?.readUInt32LE(1) ?? 0 })
    at += 46 + nameLength + extraLength
  }
  if (next !== offset) throw new Error(`the directory is at ${offset} instead of ${next}`)
  if (entries.length !== count) throw new Error(`${entries.length} entries of ${count}`)
  return entries
}
