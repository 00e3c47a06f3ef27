/** Opus packets in one object. */
import { assert, it } from "@effect/vitest"
import { Result } from "effect"
import { OpusContainer } from "../../src/Audio.ts"
import { container, packets, samples, sampleRate } from "../Recording/support/OpusTone.ts"

const parse = (bytes: Uint8Array) => Result.getOrThrow(OpusContainer.parse(bytes))

it("returns the packets that were written", () => {
  const { originalBytes, packets: found } = parse(container(12_345))
  assert.strictEqual(originalBytes, 12_345)
  assert.deepStrictEqual(
    found.map((packet) => Buffer.from(packet)),
    packets
  )
  assert.deepStrictEqual(parse(container(0, [])), { packets: [], originalBytes: 0 })
})

it("matches the documented byte layout", () => {
  const bytes = Buffer.from("0200000080020000020008ff0100fc", "hex")
  assert.deepStrictEqual(
    parse(bytes).packets.map((packet) => Buffer.from(packet).toString("hex")),
    ["08ff", "fc"]
  )
})

it.each([
  [Buffer.alloc(0), "0 bytes are too short for an Opus container"],
  [Buffer.alloc(7), "7 bytes are too short for an Opus container"],
  [container(0).subarray(0, -1), "packet 25 of 25 is cut off"],
  [container(0, packets.slice(0, 3)).subarray(0, 9), "packet 1 of 3 is missing"],
  [Buffer.from("ffffffff00000000", "hex"), "packet 1 of 4294967295 is missing"],
  [container(0, [Buffer.alloc(0)]), "packet 1 of 1 is not Opus"],
  // Code 3 with 0 frames, and with 63 of 20 ms, which is more than the 120 ms that a packet may hold.
  [container(0, [Buffer.from("4b00", "hex")]), "packet 1 of 1 is not Opus"],
  [container(0, [Buffer.from("4b3f", "hex")]), "packet 1 of 1 is not Opus"]
])("rejects %o with the reason: %s", (bytes, reason) => {
  assert.deepStrictEqual(OpusContainer.parse(bytes), Result.fail(reason))
})

it("ignores what follows the last packet", () => {
  assert.strictEqual(parse(Buffer.concat([container(0), Buffer.from("more")])).packets.length, 25)
})

it("lasts as long as the original when that is known and shorter than the packets", () => {
  const length = (originalBytes: number) => OpusContainer.samples(parse(container(originalBytes)), sampleRate)
  assert.deepStrictEqual([0, 1, 2, 15_998, 15_999, 16_000, 16_002, 0xffff_ffff].map(length), [
    samples,
    samples,
    1,
    7_999,
    7_999,
    samples,
    samples,
    samples
  ])
})

it.each([
  ["00", 10],
  ["08", 20],
  ["10", 40],
  ["18", 60],
  ["60", 10],
  ["68", 20],
  ["80", 2.5],
  ["88", 5],
  ["98", 20],
  ["99", 40],
  ["9a", 40],
  ["8383", 7.5],
  ["0b06", 120]
] as const)("reads the duration of packet %s as %d ms", (hex, milliseconds) => {
  assert.strictEqual(OpusContainer.milliseconds(Buffer.from(hex, "hex")), milliseconds)
})
