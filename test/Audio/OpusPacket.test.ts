/** Which bytes are Opus packets: those that libopus accepts. */
import { assert, it } from "@effect/vitest"
import { OpusPacket } from "../../src/Audio.ts"
import { decode, packets, random } from "../Recording/support/OpusPackets.ts"
import * as OpusTone from "../Recording/support/OpusTone.ts"

const hex = (text: string) => Buffer.from(text.replaceAll(" ", ""), "hex")

it("accepts packets of all modes, and messages of many", () => {
  for (const one of [...OpusTone.packets, ...packets(500, 1)])
    assert.isUndefined(OpusPacket.problemOf(OpusPacket.join([one])), one.toString("hex"))
  assert.isUndefined(OpusPacket.problemOf(OpusPacket.join(packets(50, 2))))
  assert.isUndefined(OpusPacket.problemOf(new Uint8Array(0)))
})

it("splits what it joins", () => {
  assert.deepStrictEqual(
    OpusPacket.split(OpusPacket.join(packets(9, 3))).map((packet) => Buffer.from(packet)),
    packets(9, 3)
  )
})

it.each([
  ["half a length", "01", "an Opus packet that is cut off"],
  ["a length without a packet", "0500", "an Opus packet that is cut off"],
  ["a packet that lacks a byte", "0300 48ff", "an Opus packet that is cut off"],
  ["a second packet that is cut off", "0200 48ff 0200 48", "an Opus packet that is cut off"],
  ["an empty packet", "0000", "an empty Opus packet"],
  ["an empty packet after a good one", "0200 48ff 0000", "an empty Opus packet"],
  ["no count of frames", "0100 4b", "a packet that is not Opus"],
  ["no frames", "0200 4b00", "a packet that is not Opus"],
  ["126 ms", "0400 4b07ffff", "a packet that is not Opus"],
  ["two equal frames of an odd size", "0200 49ff", "a packet that is not Opus"],
  ["a first frame longer than the packet", "0300 4a05ff", "a packet that is not Opus"],
  ["a frame without its length", "0200 4b83", "a packet that is not Opus"],
  ["more padding than bytes", "0400 4b4109ff", "a packet that is not Opus"],
  ["padding without an end", "0300 4b41ff", "a packet that is not Opus"],
  ["frames that differ in size", "0500 4b02ffffff", "a packet that is not Opus"]
])("rejects %s", (_, bytes, problem) => {
  assert.strictEqual(OpusPacket.problemOf(hex(bytes)), problem)
})

it("rejects a frame of more than 1,275 bytes, and a packet that is too large to be decoded", () => {
  const frame = (bytes: number) => OpusPacket.join([Buffer.concat([hex("48"), Buffer.alloc(bytes)])])
  assert.isUndefined(OpusPacket.problemOf(frame(1_275)))
  assert.strictEqual(OpusPacket.problemOf(frame(1_276)), "a packet that is not Opus")
  // CELT frames of 2.5 ms.
  const large = (frames: number, padding: number) =>
    Buffer.concat([Buffer.of(0x83, 0x40 | frames, padding), Buffer.alloc(frames * 1_024), Buffer.alloc(padding)])
  assert.strictEqual(large(7, 254).length, 7_425)
  assert.isUndefined(OpusPacket.problemOf(OpusPacket.join([large(7, 254)])))
  assert.strictEqual(decode([large(7, 254)], 48_000).length, 7 * 240)
  assert.strictEqual(OpusPacket.problemOf(OpusPacket.join([large(8, 0)])), "a packet that is not Opus")
})

it("accepts exactly what libopus decodes", () => {
  const isDecoded = (packet: Uint8Array) => {
    try {
      return decode([packet], 16_000).length > 0
    } catch {
      return false
    }
  }
  const next = random(4)
  for (const [index, whole] of packets(3_000, 5).entries()) {
    // Half of them damaged: cut, or with another beginning.
    const packet = Buffer.from(index % 4 === 0 ? whole.subarray(0, 1 + Math.floor(next() * 6)) : whole)
    if (index % 4 === 1) packet[Math.floor(next() * 3)] = Math.floor(next() * 256)
    const isAccepted = OpusPacket.problemOf(OpusPacket.join([packet])) === undefined
    assert.strictEqual(isAccepted, isDecoded(packet), packet.toString("hex"))
  }
})
