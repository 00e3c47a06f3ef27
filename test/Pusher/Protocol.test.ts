/** What the messages of a capture mean, by the codec that its query names. */
import { assert, it } from "@effect/vitest"
import { Result } from "effect"
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

/** The codec, or why the query is rejected. */
const codecOf = (query: string): string =>
  Result.match(Protocol.query(`/v1/trigger/listen?${query}`), {
    onFailure: (reason) => reason,
    onSuccess: ({ codec }) => codec
  })

it("takes Opus at its own sample rates, and PCM16 at any", () => {
  for (const rate of [8_000, 12_000, 16_000, 24_000, 48_000])
    assert.strictEqual(codecOf(`codec=opus&sample_rate=${rate}`), "opus")
  assert.strictEqual(codecOf("codec=opus"), "opus")
  assert.strictEqual(codecOf("sample_rate=44100"), "pcm16")
  const rates = "bad query: with codec=opus, sample_rate must be one of 8000, 12000, 16000, 24000, 48000"
  assert.strictEqual(codecOf("codec=opus&sample_rate=44100"), rates)
  assert.strictEqual(codecOf("codec=opus&sample_rate=8001"), rates)
})

it("names the parameter that is wrong, and what it may be, in the length of a close frame", () => {
  const bad = [
    ["sample_rate=7999", "sample_rate must be a whole number from 8000 to 48000"],
    ["ack=store&sample_rate=16e3x", "sample_rate must be a whole number from 8000 to 48000"],
    ["codec=mp3&ack=1", "codec must be pcm16 or opus"],
    ["audio_timeline=3", "audio_timeline must be 2 or 0"],
    ["ack=yes", "ack must be 1, store or 0"],
    ["client_kind=a%20b", "client_kind must be 1-64 characters A-Za-z0-9._-"]
  ] as const
  for (const [query, reason] of bad) {
    assert.strictEqual(codecOf(query), `bad query: ${reason}`)
    assert.isAtMost(Buffer.byteLength(codecOf(query)), 123)
  }
})
