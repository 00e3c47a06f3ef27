/** Audio in one codec as it is sent, journaled and stored: its length, and where it can be cut. All that differs by codec. */
import { OpusBitstream } from "./OpusBitstream.ts"
import type { Codec } from "./Span.ts"

export interface Bitstream {
  readonly codec: Codec
  readonly sampleRate: number
  readonly usualBytesPerSecond: number
  /** Bytes of the largest part that can't be cut. */
  readonly largestPart: number
  /** A chunk with as many bytes, or with as many samples, is full. */
  readonly chunkBytes: number
  readonly chunkSamples: number
  /** Fewer bytes may be found by chance. */
  readonly leastNeedleBytes: number
  samples(audio: Uint8Array): number
  first(audio: Uint8Array): number
  /** Bytes of the longest beginning of at most `samples` samples. */
  bytesOf(audio: Uint8Array, samples: number): number
  /** Bytes of the longest beginning of at most `bytes` bytes. */
  cut(audio: Uint8Array, bytes: number): number
  /**
   * Finds `audio` in recorded audio, at most `slack` samples from sample `position` and as near to it as possible: matching
   * samples up to the end of either, and their offset from `position`.
   */
  align(recorded: Uint8Array, position: number, slack: number, audio: Uint8Array): Match | undefined
  places(recorded: Uint8Array, audio: Uint8Array): Iterable<number>
  /** The beginning of the audio that is searched for, unless it is so short or uniform that it is found by chance. */
  needle(audio: Uint8Array): Uint8Array | undefined
  /** Silence equals any other silence, and proves no replay. */
  isSilent(audio: Uint8Array): boolean
  object(audio: Uint8Array): Uint8Array
}

export interface Match {
  readonly samples: number
  readonly offset: number
}

const sampleBytes = 2

/** Fewer equal samples at the end of recorded audio prove no replay. */
const leastSamples = 8

/** Most bytes that are searched for. */
const needleBytes = 4096

class PcmBitstream implements Bitstream {
  readonly codec = "pcm16"
  readonly sampleRate: number
  readonly usualBytesPerSecond: number
  readonly largestPart = sampleBytes
  readonly chunkBytes = Infinity
  readonly chunkSamples = Infinity
  readonly leastNeedleBytes = 64

  constructor(sampleRate: number) {
    this.sampleRate = sampleRate
    this.usualBytesPerSecond = sampleRate * sampleBytes
  }

  samples(audio: Uint8Array): number {
    return audio.length / sampleBytes
  }

  first(): number {
    return sampleBytes
  }

  bytesOf(audio: Uint8Array, samples: number): number {
    return Math.min(audio.length, samples * sampleBytes)
  }

  cut(audio: Uint8Array, bytes: number): number {
    return Math.min(audio.length, bytes - (bytes % sampleBytes))
  }

  align(recorded: Uint8Array, position: number, slack: number, audio: Uint8Array): Match | undefined {
    const [length, all] = [this.samples(audio), this.samples(recorded)]
    const least = Math.min(leastSamples, length, all)
    for (let step = 0; step <= 2 * slack; step++) {
      const offset = step % 2 === 0 ? 0 - step / 2 : (step + 1) / 2
      const from = position + offset
      const count = Math.min(length, all - from)
      if (from >= 0 && count >= least && isEqual(recorded, from, audio, count)) return { samples: count, offset }
    }
    return undefined
  }

  *places(recorded: Uint8Array, audio: Uint8Array): Iterable<number> {
    const bytes = Buffer.from(recorded.buffer, recorded.byteOffset, recorded.byteLength)
    for (let found = bytes.indexOf(audio); found !== -1; found = bytes.indexOf(audio, found + 1))
      if (found % sampleBytes === 0) yield found / sampleBytes
  }

  needle(audio: Uint8Array): Uint8Array | undefined {
    const needle = audio.subarray(0, needleBytes)
    return needle.length < this.leastNeedleBytes || this.isSilent(needle) ? undefined : needle
  }

  isSilent(audio: Uint8Array): boolean {
    return audio.every((byte) => byte === 0)
  }

  object(audio: Uint8Array): Uint8Array {
    return audio
  }
}

const isEqual = (one: Uint8Array, from: number, another: Uint8Array, samples: number): boolean =>
  one[from * 2] === another[0] &&
  one[from * 2 + 1] === another[1] &&
  Buffer.compare(one.subarray(from * 2, (from + samples) * 2), another.subarray(0, samples * 2)) === 0

export function of(codec: Codec, sampleRate: number): Bitstream {
  return codec === "opus" ? new OpusBitstream(sampleRate) : new PcmBitstream(sampleRate)
}
