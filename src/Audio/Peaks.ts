/** Data of a waveform: the lowest and highest sample of every tenth of a second, in 8 bits each. */

export const perSecond = 10

/** Bytes of one pair: lowest, then highest, as i8 of the sample's upper byte. */
export const pairBytes = 2

const firstPairs = 64

/** Relies on a little-endian platform, as all of Node's are. */
const samplesOf = (pcm: Uint8Array): Int16Array =>
  pcm.byteOffset % 2 === 0
    ? new Int16Array(pcm.buffer, pcm.byteOffset, pcm.length >> 1)
    : new Int16Array(Uint8Array.from(pcm).buffer, 0, pcm.length >> 1)

/** Rounded outwards, so that only silence becomes zero. */
const lowByte = (sample: number): number => sample >> 8
const highByte = (sample: number): number => Math.min(127, (sample + 255) >> 8)

export class Peaks {
  samples = 0
  readonly #sampleRate: number
  #pairs = new Int8Array(pairBytes * (1 + firstPairs))
  #count = 0
  #end = 0

  constructor(sampleRate: number) {
    this.#sampleRate = sampleRate
  }

  add(pcm: Uint8Array): void {
    const samples = samplesOf(pcm)
    let at = 0
    while (at < samples.length) {
      const fresh = this.samples >= this.#end
      if (fresh) this.#open()
      const to = Math.min(samples.length, at + this.#end - this.samples)
      let low = samples[to - 1] ?? 0
      let high = low
      // The lower of two samples can only be the lowest, the higher only the highest: three comparisons instead of four.
      for (let index = at; index + 1 < to; index += 2) {
        const first = samples[index] ?? 0
        const second = samples[index + 1] ?? 0
        const lower = first < second ? first : second
        const higher = first < second ? second : first
        if (lower < low) low = lower
        if (higher > high) high = higher
      }
      this.#widen(this.#count, low, high, fresh)
      this.#widen(0, low, high, this.samples === 0)
      this.samples += to - at
      at = to
    }
  }

  /** Copies the pair of the whole audio, then one for each tenth of a second; the last one may cover less. */
  encode(): Uint8Array {
    return new Uint8Array(this.#pairs.slice(0, pairBytes * (1 + this.#count)).buffer)
  }

  /** Frees the room for more audio. */
  compact(): void {
    this.#pairs = this.#pairs.slice(0, pairBytes * (1 + this.#count))
  }

  #open(): void {
    this.#count++
    this.#end = Math.ceil((this.#count * this.#sampleRate) / perSecond)
    if (this.#pairs.length >= pairBytes * (1 + this.#count)) return
    const grown = new Int8Array(this.#pairs.length * 2)
    grown.set(this.#pairs)
    this.#pairs = grown
  }

  #widen(pair: number, low: number, high: number, fresh: boolean): void {
    const at = pair * pairBytes
    const [lowest, highest] = [lowByte(low), highByte(high)]
    if (fresh || lowest < (this.#pairs[at] ?? 0)) this.#pairs[at] = lowest
    if (fresh || highest > (this.#pairs[at + 1] ?? 0)) this.#pairs[at + 1] = highest
  }
}

export function peaksOf(pcm: Uint8Array, sampleRate: number): Uint8Array {
  const peaks = new Peaks(sampleRate)
  peaks.add(pcm)
  return peaks.encode()
}
