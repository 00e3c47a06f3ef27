/** Reads the pages of an Ogg Opus file and checks them, and makes sound that resembles speech. */
import { assert } from "@effect/vitest"

/** The CRC-32 of Ogg, bit by bit. */
const crcOf = (bytes: Uint8Array): number => {
  let sum = 0
  for (const byte of bytes) {
    sum ^= byte << 24
    for (let bit = 0; bit < 8; bit++) sum = sum & 0x8000_0000 ? (sum << 1) ^ 0x04c11db7 : sum << 1
  }
  return sum >>> 0
}

export interface OggFile {
  readonly serial: number
  readonly preSkip: number
  readonly sampleRate: number
  readonly granules: ReadonlyArray<number>
  readonly packets: ReadonlyArray<Buffer>
}

/** Fails at a page that a player would reject. */
export const parse = (file: Buffer): OggFile => {
  const pages: Array<{ readonly granule: number; readonly packets: ReadonlyArray<Buffer> }> = []
  const serial = file.readUInt32LE(14)
  for (let at = 0; at < file.length;) {
    const lacing = file.subarray(at + 27, at + 27 + file.readUInt8(at + 26))
    const end = at + 27 + lacing.length + lacing.reduce((sum, length) => sum + length, 0)
    const page = Buffer.from(file.subarray(at, end))
    const [crc, flags] = [page.readUInt32LE(22), page.readUInt8(5)]
    page.writeUInt32LE(0, 22)
    assert.strictEqual(page.toString("latin1", 0, 4), "OggS")
    assert.strictEqual(crc, crcOf(page), `CRC of page ${pages.length}`)
    assert.strictEqual(page.readUInt32LE(14), serial)
    assert.strictEqual(page.readUInt32LE(18), pages.length, "sequence number")
    assert.strictEqual(flags, pages.length === 0 ? 2 : end === file.length ? 4 : 0, `flags of page ${pages.length}`)
    const packets: Array<Buffer> = []
    let [from, to] = [27 + lacing.length, 27 + lacing.length]
    for (const length of lacing) {
      to += length
      if (length === 255) continue
      packets.push(page.subarray(from, to))
      from = to
    }
    pages.push({ granule: Number(page.readBigUInt64LE(6)), packets })
    at = end
  }
  const [head, tags, ...audio] = pages
  const [identification, comment] = [head?.packets[0], tags?.packets[0]]
  if (identification === undefined || comment === undefined) throw new Error("no headers")
  assert.strictEqual(identification.toString("latin1", 0, 8), "OpusHead")
  assert.strictEqual(comment.toString("latin1"), "OpusTags\x08\0\0\0spillway\0\0\0\0")
  assert.deepStrictEqual([...identification.subarray(8, 10)], [1, 1])
  return {
    serial,
    preSkip: identification.readUInt16LE(10),
    sampleRate: identification.readUInt32LE(12),
    granules: audio.map(({ granule }) => granule),
    packets: audio.flatMap(({ packets }) => packets)
  }
}

/** A gliding voice with pauses between its syllables. A sample depends only on its time. */
export const voice = (from: number, samples: number, rate: number): Buffer => {
  const pcm = Buffer.alloc(samples * 2)
  for (let index = 0; index < samples; index++) {
    const time = (from + index) / rate
    const phase = 2 * Math.PI * (120 * time + 6 * Math.sin(1.7 * time))
    const loudness = Math.max(0, Math.sin(2 * Math.PI * 1.3 * time)) ** 2
    const tone = Math.sin(phase) + Math.sin(2 * phase) / 2 + Math.sin(5 * phase) / 4 + Math.sin(11 * phase) / 8
    pcm.writeInt16LE(Math.round(7_000 * loudness * tone), index * 2)
  }
  return pcm
}
