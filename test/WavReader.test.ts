/** The audio in common WAV files, from files of known length and from pipes. */
import { assert, describe, it } from "@effect/vitest"
import * as WavReader from "../src/WavReader.ts"
import { chunk, fmt, foundWith, refusedWith, riff } from "./support/WavFiles.ts"

const audio = Buffer.from(Array.from({ length: 800 }, (_, index) => (index * 37) % 256))

const read = (bytes: Uint8Array, isSizeKnown: boolean) => {
  const reading = WavReader.read(isSizeKnown ? bytes.length : undefined)
  let at = 0
  let most = 0
  let step = reading.next(new Uint8Array(0))
  while (step.done !== true) {
    const { peek, skip } = step.value
    if (!isSizeKnown) assert.isAtLeast(skip, 0, "a pipe can't go back")
    at += skip
    most = Math.max(most, peek)
    step = reading.next(new Uint8Array(bytes.subarray(at, at + peek)))
  }
  assert.isAtMost(most, 50)
  return { result: step.value, rest: bytes.subarray(at) }
}

for (const isSizeKnown of [true, false]) {
  describe(isSizeKnown ? "a WAV file" : "a WAV file from a pipe", () => {
    for (const [name, found] of Object.entries(foundWith(audio))) {
      it(`finds all of the audio of ${name}, and nothing else`, () => {
        const { rest, result } = read(found.bytes, isSizeKnown)
        if ("found" in result) return assert.fail(result.found)
        const { missing, samples } = WavReader.extent(result, rest.length)
        assert.deepStrictEqual([result.sampleRate, result.channels], [16_000, 1])
        assert.isTrue(Buffer.from(rest.subarray(0, samples * 2)).equals(found.audio))
        assert.deepStrictEqual([missing, result.isUnfinished], [found.missing ?? 0, found.isUnfinished ?? false])
      })
    }

    for (const [name, bytes, said] of refusedWith(audio)) {
      it(`rejects ${name} with what it is`, () => {
        const { result } = read(bytes, isSizeKnown)
        assert.match("found" in result ? result.found : "audio", said)
      })
    }
  })
}

it("accepts a size near 2 GiB only when the file is as long and a chunk follows", () => {
  const size = 0x7fff_0000
  const head = Buffer.from(riff([fmt(), chunk("data", Buffer.alloc(8, 1), size)]))
  const sizeFor = (behind: Buffer) => {
    const reading = WavReader.read(head.length - 8 + size + behind.length)
    let at = 0
    let step = reading.next(new Uint8Array(0))
    while (step.done !== true) {
      at += step.value.skip
      const end = head.length - 8 + size
      const bytes = at >= end ? behind.subarray(at - end) : head.subarray(at)
      step = reading.next(new Uint8Array(bytes.subarray(0, step.value.peek)))
    }
    assert.strictEqual(at, head.length - 8)
    return "found" in step.value ? step.value.found : step.value.bytes
  }
  assert.strictEqual(sizeFor(chunk("LIST", Buffer.alloc(4))), size)
  assert.strictEqual(sizeFor(Buffer.alloc(0)), size)
  assert.isUndefined(sizeFor(audio))
})

it("mixes channels to their mean at any byte offset", () => {
  const frames = Buffer.alloc(1 + 12)
  for (const [index, value] of [1, 2, -3, 32_767, 32_767, -32_768].entries()) frames.writeInt16LE(value, 1 + index * 2)
  const mono = Buffer.from(WavReader.toMono(frames.subarray(1), 3))
  assert.deepStrictEqual([mono.readInt16LE(0), mono.readInt16LE(2)], [0, 10_922])
  assert.strictEqual(WavReader.toMono(frames, 1), frames)
})
