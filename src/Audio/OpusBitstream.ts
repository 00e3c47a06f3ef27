/** Opus packets, each as its u16 LE length and its bytes. They are never cut, and compared as a whole. */
import type { Bitstream, Match } from "./Bitstream.ts"
import * as OpusContainer from "./OpusContainer.ts"
import * as OpusPacket from "./OpusPacket.ts"

const lengthBytes = 2

/** Kept well below `DECODED_BYTES`, encoded and as PCM16, so that every chunk can be decoded. */
const chunkBytes = 8 * 1024 * 1024

const usualBytesPerSecond = 6_200

/** Most bytes of packets that are searched for; at least one packet is. */
const needleBytes = 256

/** Packets of digital silence have at most 3 bytes, those of discontinuous transmission fewer. */
const silentBytes = 3

export class OpusBitstream implements Bitstream {
  readonly codec = "opus"
  readonly sampleRate: number
  readonly usualBytesPerSecond = usualBytesPerSecond
  readonly largestPart = lengthBytes + OpusPacket.largestPacket
  readonly chunkBytes = chunkBytes
  readonly chunkSamples = chunkBytes / 2
  readonly leastNeedleBytes = 18

  constructor(sampleRate: number) {
    this.sampleRate = sampleRate
  }

  samples(audio: Uint8Array): number {
    let samples = 0
    for (let at = 0; at < audio.length; at = next(audio, at)) samples += this.#samplesAt(audio, at)
    return samples
  }

  first(audio: Uint8Array): number {
    return next(audio, 0)
  }

  bytesOf(audio: Uint8Array, samples: number): number {
    let at = 0
    for (let left = samples; at < audio.length; at = next(audio, at)) {
      left -= this.#samplesAt(audio, at)
      if (left < 0) break
    }
    return at
  }

  cut(audio: Uint8Array, bytes: number): number {
    if (audio.length <= bytes) return audio.length
    let at = 0
    for (let end = next(audio, 0); end <= bytes; end = next(audio, at)) at = end
    return at
  }

  align(recorded: Uint8Array, position: number, slack: number, audio: Uint8Array): Match | undefined {
    const begins: Array<{ readonly at: number; readonly offset: number }> = []
    let sample = 0
    for (let at = 0; at < recorded.length && sample <= position + slack; at = next(recorded, at)) {
      if (sample >= position - slack) begins.push({ at, offset: sample - position })
      sample += this.#samplesAt(recorded, at)
    }
    for (const { at, offset } of begins.sort((a, b) => Math.abs(a.offset) - Math.abs(b.offset))) {
      const bytes = Math.min(audio.length, recorded.length - at)
      // Equal bytes have equal lengths in them, and so whole packets.
      if (startsWith(recorded, at, audio.subarray(0, bytes)))
        return { samples: this.samples(audio.subarray(0, bytes)), offset }
    }
    return undefined
  }

  *places(recorded: Uint8Array, audio: Uint8Array): Iterable<number> {
    let sample = 0
    for (let at = 0; at < recorded.length; at = next(recorded, at)) {
      if (startsWith(recorded, at, audio)) yield sample
      sample += this.#samplesAt(recorded, at)
    }
  }

  needle(audio: Uint8Array): Uint8Array | undefined {
    const needle = audio.subarray(0, this.cut(audio, needleBytes) || this.first(audio))
    return needle.length < this.leastNeedleBytes || this.isSilent(needle) ? undefined : needle
  }

  isSilent(audio: Uint8Array): boolean {
    for (let at = 0; at < audio.length; at = next(audio, at))
      if (next(audio, at) - at > lengthBytes + silentBytes) return false
    return true
  }

  object(audio: Uint8Array): Uint8Array {
    let packets = 0
    for (let at = 0; at < audio.length; at = next(audio, at)) packets++
    return OpusContainer.encode(audio, packets, this.samples(audio))
  }

  #samplesAt(audio: Uint8Array, at: number): number {
    const packet = at + lengthBytes
    return (OpusPacket.millisecondsOf(audio[packet] ?? 0, audio[packet + 1] ?? 0) * this.sampleRate) / 1_000
  }
}

const next = (audio: Uint8Array, at: number): number =>
  at + lengthBytes + ((audio[at] ?? 0) | ((audio[at + 1] ?? 0) << 8))

const startsWith = (recorded: Uint8Array, at: number, audio: Uint8Array): boolean =>
  recorded.length - at >= audio.length && Buffer.compare(recorded.subarray(at, at + audio.length), audio) === 0
