/** Archives of entries whose sizes are known, written while they are read: not compressed, ZIP64 where needed (APPNOTE 6.3.10). */
import { crc32 } from "node:zlib"
import { Stream } from "effect"
import type { Pieces } from "../../Playback.ts"

export interface EntryHead {
  readonly name: string
  readonly size: number
  /** Unix seconds. */
  readonly modified: number
}

export interface Entry<E> extends EntryHead {
  /** `size` bytes. */
  readonly content: Stream.Stream<Pieces, E>
}

/** Sizes and offsets from here on are in ZIP64 fields. */
const limit32 = 0xffff_ffff

type Field = readonly [width: 2 | 4 | 8, value: number]

const encode = (...fields: ReadonlyArray<Field>): Buffer => {
  const bytes = Buffer.alloc(fields.reduce((sum, [width]) => sum + width, 0))
  let at = 0
  for (const [width, value] of fields) {
    if (width === 8) bytes.writeBigUInt64LE(BigInt(value), at)
    else bytes.writeUIntLE(value, at, width)
    at += width
  }
  return bytes
}

/** UTC, in steps of two seconds, from 1980 to 2107. */
const dosTime = (seconds: number): readonly [time: Field, date: Field] => {
  const at = new Date(Math.min(Math.max(seconds, 315_532_800), 4_354_819_198) * 1000)
  return [
    [2, (at.getUTCHours() << 11) | (at.getUTCMinutes() << 5) | (at.getUTCSeconds() >> 1)],
    [2, ((at.getUTCFullYear() - 1980) << 9) | ((at.getUTCMonth() + 1) << 5) | at.getUTCDate()]
  ]
}

/** The same time in UTC for readers that take the one above for local time (Info-ZIP's extra field). */
const unixTime = (seconds: number): Buffer => {
  const time = Math.min(Math.max(Math.floor(seconds), 0), 0x7fff_ffff)
  return Buffer.concat([encode([2, 0x5455], [2, 5]), Buffer.from([1]), encode([4, time])])
}

/** Names are in UTF-8, and sizes and checksum follow the content. */
const flags = 0x0808
const versions = { plain: 20, zip64: 45 }
/** A regular file of Unix that its owner may write and all may read. */
const attributes = 0o100644 * 0x1_0000
const madeByUnix = 3 << 8

const zip64Extra = (...values: ReadonlyArray<number>): Buffer =>
  values.length === 0
    ? Buffer.alloc(0)
    : encode([2, 1], [2, values.length * 8], ...values.map((value): Field => [8, value]))

const localHead = ({ modified, name, size }: EntryHead, limit: number): Buffer => {
  const isLarge = size >= limit
  const text = Buffer.from(name)
  const extra = Buffer.concat([unixTime(modified), ...(isLarge ? [zip64Extra(0, 0)] : [])])
  const sizeField: Field = [4, isLarge ? limit32 : 0]
  const head = encode(
    [4, 0x0403_4b50],
    [2, isLarge ? versions.zip64 : versions.plain],
    [2, flags],
    [2, 0],
    ...dosTime(modified),
    [4, 0],
    sizeField,
    sizeField,
    [2, text.length],
    [2, extra.length]
  )
  return Buffer.concat([head, text, extra])
}

const descriptor = ({ size }: EntryHead, crc: number, limit: number): Buffer => {
  const sizeField: Field = [size >= limit ? 8 : 4, size]
  return encode([4, 0x0807_4b50], [4, crc], sizeField, sizeField)
}

const centralHead = ({ modified, name, size }: EntryHead, offset: number, crc: number, limit: number): Buffer => {
  const isLarge = size >= limit
  const text = Buffer.from(name)
  const large = [...(isLarge ? [size, size] : []), ...(offset >= limit ? [offset] : [])]
  const extra = Buffer.concat([unixTime(modified), zip64Extra(...large)])
  const sizeField: Field = [4, isLarge ? limit32 : size]
  const version = large.length > 0 ? versions.zip64 : versions.plain
  const head = encode(
    [4, 0x0201_4b50],
    [2, madeByUnix | version],
    [2, version],
    [2, flags],
    [2, 0],
    ...dosTime(modified),
    [4, crc],
    sizeField,
    sizeField,
    [2, text.length],
    [2, extra.length],
    [2, 0],
    [2, 0],
    [2, 0],
    [4, attributes],
    [4, offset >= limit ? limit32 : offset]
  )
  return Buffer.concat([head, text, extra])
}

const end = (count: number, size: number, offset: number, limit: number): Buffer => {
  const isLarge = offset >= limit || size >= limit || count >= 0xffff
  const zip64 = encode(
    [4, 0x0606_4b50],
    [8, 44],
    [2, madeByUnix | versions.zip64],
    [2, versions.zip64],
    [4, 0],
    [4, 0],
    [8, count],
    [8, count],
    [8, size],
    [8, offset],
    [4, 0x0706_4b50],
    [4, 0],
    [8, offset + size],
    [4, 1]
  )
  const [count16, size32, offset32] = isLarge ? [0xffff, limit32, limit32] : [count, size, offset]
  const plain = encode([4, 0x0605_4b50], [2, 0], [2, 0], [2, count16], [2, count16], [4, size32], [4, offset32], [2, 0])
  return isLarge ? Buffer.concat([zip64, plain]) : plain
}

type Sizes = Pick<EntryHead, "name" | "size">

/** Bytes of the heads above without their names: fixed fields, Unix time, and ZIP64 fields if the entry is large. */
const lengths = { local: 30 + 9, descriptor: 16, central: 46 + 9, zip64: 4, value: 8 }

const localLength = ({ name, size }: Sizes, limit: number): number =>
  lengths.local + Buffer.byteLength(name) + (size >= limit ? lengths.zip64 + 2 * lengths.value : 0)

const descriptorLength = ({ size }: Sizes, limit: number): number =>
  lengths.descriptor + (size >= limit ? lengths.value : 0)

const centralLength = ({ name, size }: Sizes, offset: number, limit: number): number => {
  const values = (size >= limit ? 2 : 0) + (offset >= limit ? 1 : 0)
  return lengths.central + Buffer.byteLength(name) + (values > 0 ? lengths.zip64 + values * lengths.value : 0)
}

/** Calls `add` for each entry with its offset; returns the offset behind the last one. */
const place = (heads: ReadonlyArray<Sizes>, limit: number, add: (head: Sizes, offset: number) => void) => {
  let offset = 0
  for (const head of heads) {
    add(head, offset)
    offset += localLength(head, limit) + head.size + descriptorLength(head, limit)
  }
  return offset
}

/** Bytes of the archive. Encodes no head: 10,000 of them would occupy the event loop for a tenth of a second. */
export function sizeOf(heads: ReadonlyArray<Sizes>, limit = limit32): number {
  let central = 0
  const offset = place(heads, limit, (head, offset) => {
    central += centralLength(head, offset, limit)
  })
  return offset + central + end(heads.length, central, offset, limit).length
}

/** Only the names and checksums of the entries are in memory. */
export function archive<E>(entries: ReadonlyArray<Entry<E>>, limit = limit32): Stream.Stream<Pieces, E> {
  return Stream.suspend(() => {
    const central: Array<Buffer> = []
    const one = (entry: Entry<E>, offset: number): Stream.Stream<Pieces, E> => {
      let crc = 0
      const content = Stream.map(entry.content, (pieces) => {
        for (const piece of pieces) crc = crc32(piece, crc)
        return pieces
      })
      const foot = Stream.sync(() => {
        central.push(centralHead(entry, offset, crc, limit))
        return [descriptor(entry, crc, limit)]
      })
      return Stream.concat(Stream.succeed([localHead(entry, limit)]), Stream.concat(content, foot))
    }
    const offsets: Array<number> = []
    const behind = place(entries, limit, (_, offset) => offsets.push(offset))
    const all = Stream.flatMap(Stream.fromIterable(entries.entries(), { chunkSize: 1 }), ([index, entry]) =>
      one(entry, offsets[index] ?? 0)
    )
    const directory = Stream.sync(() => {
      const bytes = Buffer.concat(central)
      return [bytes, end(entries.length, bytes.length, behind, limit)]
    })
    return Stream.concat(all, directory)
  })
}
