/** Bounded buffer of recorded audio that the server has not acknowledged, with exact timestamps. */
import type { Source } from "./Source.ts"

/** Capacity. A recording that exceeds it stops. */
export const capacitySeconds = 600

/** A longer pause between pieces is a gap: the machine slept, or the device was disconnected. */
const gapSeconds = 1

interface Piece {
  readonly from: number
  readonly pcm: Uint8Array
}

/** Sample `sample` is at Unix second `time`; the following samples are contiguous. */
interface Anchor {
  readonly sample: number
  readonly time: number
}

export class MicrophoneBuffer implements Source {
  readonly sampleRate: number
  end = 0
  ended = false
  #released = 0
  #pieces: Array<Piece> = []
  #anchors: Array<Anchor> = []
  /** Seconds by which the clock is ahead of the samples, without gaps. */
  #drift = 0

  constructor(sampleRate: number) {
    this.sampleRate = sampleRate
  }

  get buffered(): number {
    return this.end - this.#released
  }

  /** Appends a piece; `endedAt` is its end in Unix seconds by the clock. Returns false if the buffer is full. */
  push(pcm: Uint8Array, endedAt: number): boolean {
    const samples = pcm.length / 2
    if (this.buffered + samples > capacitySeconds * this.sampleRate) return false
    const startedAt = endedAt - samples / this.sampleRate
    const drift = startedAt - this.timeOf(this.end)
    const gap = drift - this.#drift
    if (this.#anchors.length === 0) this.#anchors.push({ sample: this.end, time: startedAt })
    // Time never goes backwards, even if the clock was set back.
    else if (gap > gapSeconds) this.#anchors.push({ sample: this.end, time: this.timeOf(this.end) + gap })
    else this.#drift += Math.min(gap, gapSeconds / 10)
    this.#pieces.push({ from: this.end, pcm })
    this.end += samples
    return true
  }

  timeOf(sample: number): number {
    const anchor = this.#anchors.findLast((each) => each.sample <= sample) ?? this.#anchors[0]
    return anchor === undefined ? 0 : anchor.time + (sample - anchor.sample) / this.sampleRate
  }

  breakAfter(from: number): number {
    return this.#anchors.find(({ sample }) => sample > from)?.sample ?? Infinity
  }

  read(from: number, to: number): Promise<Uint8Array> {
    const target = new Uint8Array(2 * (to - from))
    for (const { from: at, pcm } of this.#pieces) {
      const [begin, end] = [Math.max(from, at), Math.min(to, at + pcm.length / 2)]
      if (begin < end) target.set(pcm.subarray(2 * (begin - at), 2 * (end - at)), 2 * (begin - from))
    }
    return Promise.resolve(target)
  }

  release(sample: number): void {
    this.#released = Math.max(this.#released, Math.min(sample, this.end))
    this.#pieces = this.#pieces.filter(({ from, pcm }) => from + pcm.length / 2 > this.#released)
    const current = this.#anchors.findLastIndex((each) => each.sample <= this.#released)
    if (current > 0) this.#anchors.splice(0, current)
  }
}
