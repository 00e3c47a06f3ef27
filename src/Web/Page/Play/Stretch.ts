/**
 * Changes the speed of speech and keeps its pitch: WSOLA (Verhelst and Roelands, ICASSP 1993). The output consists of hops.
 * Each continues the waveform of the one before it and crossfades to the place in the input whose turn it is, moved by up to
 * `searchSeconds` to where the two waveforms match best.
 */

const hopSeconds = 0.015
/** To either side; twice this is the longest pitch period that can be matched. */
const searchSeconds = 0.008
const coarseRate = 8_000

export class Stretch {
  readonly #speed: number
  readonly #hop: number
  readonly #search: number
  readonly #coarse: number
  readonly #fade: Float32Array
  #input = new Float32Array(0)
  /** Position of the first sample of `#input`; positions are samples from the start. */
  #from = 0
  #received = 0
  #hops = 0
  #continuation = 0

  constructor(sampleRate: number, speed: number) {
    this.#speed = speed
    this.#hop = Math.round(hopSeconds * sampleRate)
    this.#search = Math.round(searchSeconds * sampleRate)
    this.#coarse = Math.max(1, Math.round(sampleRate / coarseRate))
    this.#fade = Float32Array.from(
      { length: this.#hop },
      (_, index) => (1 - Math.cos((Math.PI * index) / this.#hop)) / 2
    )
  }

  /** Returns the output that the input so far determines. At speed 1 the output is the input. */
  push(samples: Float32Array<ArrayBuffer>): Float32Array<ArrayBuffer> {
    if (this.#speed === 1) return samples
    this.#received += samples.length
    return this.#append(samples)
  }

  /** Returns the rest. The whole output has the length of the whole input divided by the speed, rounded. */
  finish(): Float32Array<ArrayBuffer> {
    if (this.#speed === 1) return new Float32Array(0)
    const rest = Math.round(this.#received / this.#speed) - this.#hops * this.#hop
    const padding = this.#search + Math.ceil(this.#hop * (2 + this.#speed)) + 2
    return this.#append(new Float32Array(padding)).slice(0, rest)
  }

  #append(samples: Float32Array<ArrayBuffer>): Float32Array<ArrayBuffer> {
    const input = new Float32Array(this.#input.length + samples.length)
    input.set(this.#input)
    input.set(samples, this.#input.length)
    this.#input = input
    const end = this.#from + input.length
    const most = Math.ceil(end / this.#speed / this.#hop) - this.#hops
    const output = new Float32Array(Math.max(0, most) * this.#hop)
    let made = 0
    for (;;) {
      const turn = this.#turnOf(this.#hops)
      const needed = Math.max(turn + this.#search, this.#continuation) + this.#hop
      if (Math.max(needed, this.#turnOf(this.#hops + 1)) > end) break
      const place = this.#match(turn)
      this.#crossfade(output.subarray(made, made + this.#hop), place)
      this.#continuation = place + this.#hop
      this.#hops++
      made += this.#hop
    }
    const first = Math.min(this.#continuation, Math.max(0, this.#turnOf(this.#hops) - this.#search))
    this.#input = input.slice(first - this.#from)
    this.#from = first
    return output.subarray(0, made)
  }

  #turnOf(hop: number): number {
    return Math.round(hop * this.#hop * this.#speed)
  }

  #crossfade(output: Float32Array, place: number): void {
    for (let index = 0; index < this.#hop; index++) {
      const before = this.#at(this.#continuation + index)
      output[index] = before + (this.#at(place + index) - before) * (this.#fade[index] ?? 0)
    }
  }

  #match(turn: number): number {
    const from = Math.max(this.#from, turn - this.#search)
    const to = turn + this.#search
    const coarse = this.#best(turn, from, to, this.#coarse)
    return this.#best(coarse, Math.max(from, coarse - this.#coarse), Math.min(to, coarse + this.#coarse), 1)
  }

  #best(nearest: number, from: number, to: number, step: number): number {
    let best = nearest
    let score = this.#likeness(nearest, step)
    for (let distance = step; nearest - distance >= from || nearest + distance <= to; distance += step) {
      for (const place of [nearest - distance, nearest + distance]) {
        if (place < from || place > to) continue
        const likeness = this.#likeness(place, step)
        if (likeness <= score) continue
        best = place
        score = likeness
      }
    }
    return best
  }

  /** Correlation of a hop at `place` with the continuation, divided by its level: loud places are not better. */
  #likeness(place: number, step: number): number {
    const input = this.#input
    const [at, continuation] = [place - this.#from, this.#continuation - this.#from]
    let [product, energy] = [0, 0]
    for (let index = 0; index < this.#hop; index += step) {
      const sample = input[at + index] ?? 0
      product += sample * (input[continuation + index] ?? 0)
      energy += sample * sample
    }
    return energy === 0 ? 0 : product / Math.sqrt(energy)
  }

  #at(position: number): number {
    return this.#input[position - this.#from] ?? 0
  }
}
