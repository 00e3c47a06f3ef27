/** Any range of an audio file equals the same range of the whole. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import * as Timeline from "../../src/Audio/Timeline.ts"
import * as Wav from "../../src/Audio/Wav.ts"
import { type Cut, Jittered, jittered, Overlapping, overlapping, type Recorded } from "./support/Cuts.ts"
import { wavOf } from "../support/WavFiles.ts"

const maxGap = 90

const sourced = (part: Wav.Part<Cut>): Uint8Array => {
  if (part._tag === "Silence") return new Uint8Array(part.length)
  assert.isAtLeast(part.start, 0)
  assert.isBelow(part.start, part.end, "no part is empty")
  assert.isAtMost(part.end, part.chunk.pcm.length)
  return part.chunk.pcm.subarray(part.start, part.end)
}

const read = (file: Timeline.AudioFile<Cut>, format: Wav.Format, range: Wav.Range) => {
  const { header, sound } = Wav.split(file, format, range)
  return Buffer.concat([header, ...[...Wav.partsOf(file.pieces, sound)].map(sourced)])
}

const Millionth = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 1_000_000 }))
const Ranges = Schema.Array(Schema.Struct({ a: Millionth, b: Millionth })).check(Schema.isMaxLength(8))

const check = ({ chunks, lostSamples, pcm }: Recorded, rate: number, ranges: typeof Ranges.Type) => {
  const files = Timeline.layout(chunks, maxGap)
  const [file] = files
  if (file === undefined || files.length > 1) return assert.fail(`${files.length} audio files`)
  assert.strictEqual(file.samples, pcm.length / 2)
  assert.strictEqual(file.lostSamples, lostSamples)
  for (const [format, whole] of [
    ["wav", wavOf(pcm, rate)],
    ["pcm", Buffer.from(pcm)]
  ] as const) {
    const size = Wav.size(file, format)
    assert.strictEqual(size, whole.length)
    for (const { a, b } of [{ a: 0, b: 1_000_000 }, ...ranges]) {
      const start = Math.round((Math.min(a, b) / 1e6) * size)
      const end = Math.round((Math.max(a, b) / 1e6) * size)
      const bytes = read(file, format, { start, end })
      assert.isTrue(bytes.equals(whole.subarray(start, end)), `${format} ${start}-${end} of ${size}`)
    }
  }
}

describe("Wav", () => {
  it.effect.prop(
    "renders any range as the same bytes of the whole, with gaps, overlaps and losses in any order",
    { options: Overlapping, ranges: Ranges },
    ({ options, ranges }) => Effect.sync(() => check(overlapping(options), options.rate, ranges)),
    { arbitrary: { runs: 400 } }
  )

  it.effect.prop(
    "renders any range as the same bytes of the whole when clocks are off by under a millisecond",
    { options: Jittered, ranges: Ranges },
    ({ options, ranges }) => Effect.sync(() => check(jittered(options), options.rate, ranges)),
    { arbitrary: { runs: 300 } }
  )

  it("joins any two ranges at an odd byte without a seam", () => {
    const recorded = overlapping({
      rate: 16_000,
      fraction: 7,
      order: 1,
      cuts: [
        { move: 0, ticks: 3, lost: false },
        { move: 1, ticks: 2, lost: false },
        { move: -1, ticks: 2, lost: false }
      ]
    })
    const [file] = Timeline.layout(recorded.chunks, maxGap)
    if (file === undefined) return assert.fail("no audio file")
    const whole = wavOf(recorded.pcm, 16_000)
    for (let at = 0; at <= whole.length; at++) {
      const head = read(file, "wav", { start: 0, end: at })
      const tail = read(file, "wav", { start: at, end: whole.length })
      assert.isTrue(Buffer.concat([head, tail]).equals(whole), `at ${at}`)
    }
  })

  it("writes a 44-byte RIFF header up to its largest size, then an 80-byte RF64 header", () => {
    const last = (2 ** 32 - 38) / 2
    const riff = Buffer.from(Wav.header(48_000, last))
    assert.strictEqual(riff.length, 44)
    assert.strictEqual(riff.toString("latin1", 0, 4), "RIFF")
    assert.strictEqual(riff.readUInt32LE(4), 2 ** 32 - 2)
    assert.strictEqual(riff.readUInt32LE(40), 2 ** 32 - 38)

    const samples = last + 1
    const rf64 = Buffer.from(Wav.header(48_000, samples))
    assert.strictEqual(rf64.length, 80)
    assert.deepStrictEqual(
      [rf64.toString("latin1", 0, 4), rf64.toString("latin1", 8, 16), rf64.readUInt32LE(16)],
      ["RF64", "WAVEds64", 28]
    )
    assert.deepStrictEqual([rf64.readUInt32LE(4), rf64.readUInt32LE(76)], [0xffff_ffff, 0xffff_ffff])
    assert.strictEqual(rf64.readBigUInt64LE(20), BigInt(samples) * 2n + 72n)
    assert.strictEqual(rf64.readBigUInt64LE(28), BigInt(samples) * 2n)
    assert.strictEqual(rf64.readBigUInt64LE(36), BigInt(samples))
    assert.strictEqual(rf64.readUInt32LE(44), 0)
    assert.strictEqual(rf64.toString("latin1", 48, 52), "fmt ")
    assert.strictEqual(rf64.readUInt32LE(60), 48_000)
    assert.strictEqual(rf64.toString("latin1", 72, 76), "data")
  })

  it("maps a range in days of audio beyond 4 GiB by reading only its chunks", () => {
    const chunks = Array.from({ length: 20_000 }, (_, i) => ({
      id: String(i),
      start: 1_700_000_000 + i * 60,
      samples: 60 * 48_000,
      sampleRate: 48_000,
      codec: "pcm16" as const
    }))
    const [file] = Timeline.layout(chunks, maxGap)
    if (file === undefined) return assert.fail("no audio file")
    const bytes = 60 * 48_000 * 2
    assert.strictEqual(Wav.size(file, "wav"), 80 + 20_000 * bytes)
    const start = 80 + 15_000 * bytes - 3
    assert.deepStrictEqual(
      [...Wav.partsOf(file.pieces, Wav.split(file, "wav", { start, end: start + 8 }).sound)].map((part) =>
        part._tag === "Chunk" ? [part.chunk.id, part.start, part.end] : part
      ),
      [
        ["14999", bytes - 3, bytes],
        ["15000", 0, 5]
      ]
    )
    const before = process.memoryUsage().heapUsed
    let parts = 0
    for (const _ of Wav.partsOf(file.pieces, { start: 0, end: Wav.size(file, "pcm") })) parts++
    assert.strictEqual(parts, 20_000)
    assert.isBelow(process.memoryUsage().heapUsed - before, 16 * 1024 * 1024)
  })
})
