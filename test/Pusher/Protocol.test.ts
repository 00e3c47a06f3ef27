/** What the messages of a capture mean, by the codec that its query names. */
import { assert, it } from "@effect/vitest"
import { Option } from "effect"
import { OpusPacket } from "../../src/Audio.ts"
import * as Protocol from "../../src/Pusher/Protocol.ts"
import { packets } from "../Recording/support/OpusPackets.ts"
import { audioFrame } from "../support/Capturer.ts"

const opus = (hex: string) => Protocol.decode(audioFrame(1, Buffer.from(hex.replaceAll(" ", ""), "hex")), "opus")

it("reads the packets of an Opus message as they are", () => {
  const audio = OpusPacket.join(packets(20, 1))
  const inbound = Protocol.decode(audioFrame(1_700_000_000.25, audio), "opus")
  assert.deepStrictEqual(inbound, { _tag: "Audio", start: 1_700_000_000.25, audio: Buffer.from(audio) })
  assert.strictEqual(opus("")._tag, "Audio")
})

it.each([
  ["a packet that is cut off", "0300 48ff", "an Opus packet that is cut off"],
  ["half a length", "0200 48ff 02", "an Opus packet that is cut off"],
  ["an empty packet", "0200 48ff 0000", "an empty Opus packet"],
  ["a packet that is not valid", "0200 4b00", "a packet that is not Opus"],
  ["a packet of more than 120 ms", "0400 4b07ffff", "a packet that is not Opus"]
])("rejects an Opus message with %s", (_, hex, problem) => {
  assert.deepStrictEqual(opus(hex), { _tag: "Malformed", reason: `audio (101) has ${problem}` })
})

it("rejects half a sample of PCM16 only", () => {
  const message = audioFrame(1, Buffer.from("010048", "hex"))
  assert.strictEqual(Protocol.decode(message, "opus")._tag, "Audio")
  assert.strictEqual(Protocol.decode(message, "pcm16")._tag, "Malformed")
})

it("takes Opus at its own sample rates, and PCM16 at all", () => {
  const codecs = (query: string) => Option.map(Protocol.query(`/v1/trigger/listen?${query}`), ({ codec }) => codec)
  for (const rate of [8_000, 12_000, 16_000, 24_000, 48_000])
    assert.deepStrictEqual(codecs(`codec=opus&sample_rate=${rate}`), Option.some("opus"))
  assert.deepStrictEqual(codecs("codec=opus"), Option.some("opus"))
  assert.deepStrictEqual(codecs("codec=opus&sample_rate=44100"), Option.none())
  assert.deepStrictEqual(codecs("codec=opus&sample_rate=8001"), Option.none())
  assert.deepStrictEqual(codecs("sample_rate=44100"), Option.some("pcm16"))
  assert.isAtMost(Buffer.byteLength(`bad query: ${Protocol.queryHelp}`), 123)
})
