/** Recorded packets keep their places in an Ogg file. */
import { assert, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { OggStream, OpusContainer } from "../../src/Audio.ts"
import { parse } from "../support/OggFiles.ts"

/** Packets of one CELT frame of 2.5, 5, 10 or 20 ms by `size`, with their number as content. */
const packets = (count: number, size = 3, first = 0) =>
  Array.from({ length: count }, (_, index) =>
    Buffer.from([(28 + size) << 3, 1, (first + index) >> 8, (first + index) & 255])
  )

const isSilence = (packet: Buffer) => packet.subarray(1).equals(Buffer.from([0xff, 0xfe]))

const granulesOf = (all: ReadonlyArray<Buffer>) =>
  all.reduce((sum, packet) => sum + OpusContainer.milliseconds(packet) * 48, 0)

type Piece = Parameters<OggStream["add"]>

/** The file with these pieces, and where each recorded packet begins in it, by its number. */
const write = (seconds: number, pieces: ReadonlyArray<Piece>) => {
  const stream = new OggStream("id", 16_000, Math.round(seconds * 16_000))
  const pages = pieces.map((piece) => {
    stream.add(...piece)
    return stream.take()
  })
  stream.end()
  const file = parse(Buffer.concat([...pages, stream.take()]))
  let at = 0
  const starts = new Map<number, number>()
  for (const packet of file.packets) {
    if (!isSilence(packet)) starts.set(packet.readUInt16BE(2), at / 48_000)
    at += granulesOf([packet])
  }
  return { ...file, starts, written: at }
}

it("has contiguous packets one after another, in pages of a second, with an exact end", () => {
  const {
    granules,
    packets: written,
    preSkip
  } = write(2.99, [
    [packets(100), 0, 2],
    [packets(50, 3, 100), 2, 2.99]
  ])
  assert.deepStrictEqual(granules, [48_000, 96_000, 2.99 * 48_000 + 120])
  assert.strictEqual(written.length, 150)
  assert.isFalse(written.some(isSilence))
  assert.strictEqual(preSkip, 120)
})

it("fills gaps with silence of the right length, also before the first and after the last packet", () => {
  const { granules, starts, written } = write(10.001, [
    [packets(50), 1.0031, 2.0031],
    [packets(50, 3, 50), 5.5057, 6.5057]
  ])
  assert.closeTo(starts.get(0) ?? 0, 1.0031, 0.0025)
  assert.closeTo(starts.get(50) ?? 0, 5.5057, 0.0025)
  assert.strictEqual(granules.at(-1), 10.001 * 48_000 + 120)
  assert.isAtLeast(written, 10.001 * 48_000)
})

it("drops the packets that another piece has, and those behind the end of a piece", () => {
  const { starts } = write(3, [
    [packets(100), 0, 1.5],
    [packets(100, 3, 100), 1, 3]
  ])
  assert.strictEqual(starts.get(74), 1.48)
  assert.isUndefined(starts.get(75))
  assert.isUndefined(starts.get(124))
  assert.strictEqual(starts.get(125), 1.5)
})

it("ends with the file when its last piece has grown meanwhile", () => {
  const { granules, starts } = write(1, [[packets(100), 0, 2]])
  assert.deepStrictEqual(granules, [48_000, 48_000 + 120])
  assert.strictEqual(starts.size, 51)
})

it("fills long gaps in steps of a minute, which change nothing", () => {
  const pieces: ReadonlyArray<Piece> = [
    [packets(50), 0.5, 1.5],
    [packets(50, 3, 50), 200.0071, 201.0071]
  ]
  const stream = new OggStream("id", 16_000, 500 * 16_000)
  const pages: Array<Uint8Array> = []
  for (const [recorded, begin, to] of pieces) {
    while (!stream.fill(begin)) pages.push(stream.take())
    stream.add(recorded, begin, to)
  }
  while (!stream.fill(Infinity)) pages.push(stream.take())
  stream.end()
  pages.push(stream.take())
  assert.strictEqual(pages.length, 3 + 4 + 1)
  assert.isTrue(pages.every(({ length }) => length < 30_000))
  assert.deepStrictEqual(parse(Buffer.concat(pages)).granules, write(500, pieces).granules)
  assert.deepStrictEqual(parse(Buffer.concat(pages)).packets, write(500, pieces).packets)
})

const Recorded = Schema.Struct({
  count: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 80 })),
  size: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 3 })),
  gap: Schema.Finite.check(Schema.isBetween({ minimum: 0, maximum: 2 })),
  /** Share of the last packet that is padding. */
  padding: Schema.Finite.check(Schema.isBetween({ minimum: 0, maximum: 1 }))
})

it.effect.prop(
  "places each packet at its time, at most half a packet late and 2.5 ms early, whatever is before",
  { pieces: Schema.NonEmptyArray(Recorded).check(Schema.isMaxLength(60)) },
  Effect.fnUntraced(function* ({ pieces }) {
    const expected = new Map<number, readonly [at: number, length: number]>()
    let [time, first] = [0, 0]
    const adds = pieces.map(({ count, gap, padding, size }, index) => {
      const length = 0.0025 * 2 ** size
      const begin = time + (index % 3 === 0 ? gap : 0)
      const to = begin + length * (count - padding)
      for (let packet = 0; packet < count; packet++) expected.set(first + packet, [begin + packet * length, length])
      const all = packets(count, size, first)
      first += count
      time = to
      return [all, begin, to] satisfies Piece
    })
    const { granules, starts } = write(time, adds)
    for (const [number, at] of starts) {
      const [wanted, length] = expected.get(number) ?? [NaN, 0]
      assert.isAtMost(at - wanted, length / 2 + 0.0001)
      assert.isAtMost(wanted - at, 0.0026)
    }
    assert.strictEqual(granules.at(-1), Math.round(time * 16_000) * 3 + 120)
    yield* Effect.void
  }),
  { arbitrary: { runs: 100 } }
)

it("gives the same bytes for the same packets", () => {
  const [one, other] = [0, 1].map(() => write(1, [[packets(50), 0, 1]]))
  assert.deepStrictEqual(one, other)
})

it("has a page of silence if no packet was recorded", () => {
  assert.deepStrictEqual(write(0, []).granules, [120])
  assert.strictEqual(write(0.5, []).granules.at(-1), 24_120)
})
