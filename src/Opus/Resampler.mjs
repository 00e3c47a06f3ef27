/** Raises the sample rate of PCM16. A sample depends only on its position, so that blocks resampled alone fit together. */

/** Input samples on each side of a position. */
const half = 16
const taps = 2 * half
/** Tabulated positions between two input samples. */
const phases = 512
/** Share of the input's Nyquist frequency. The filter is a sinc in a Kaiser window of this `beta`. */
const cutoff = 0.94
const beta = 8

const besselI0 = (x) => {
  let [sum, term] = [1, 1]
  for (let k = 1; term > sum * 1e-12; k++) {
    term *= (x / (2 * k)) ** 2
    sum += term
  }
  return sum
}

const filterAt = (distance) => {
  const share = distance / half
  if (Math.abs(share) >= 1) return 0
  const angle = Math.PI * distance * cutoff
  const sinc = angle === 0 ? 1 : Math.sin(angle) / angle
  return (sinc * besselI0(beta * Math.sqrt(1 - share * share))) / besselI0(beta)
}

const rowOf = (phase) => {
  const row = Array.from({ length: taps }, (_, tap) => filterAt(tap - half + 1 - phase / phases))
  const gain = row.reduce((sum, value) => sum + value, 0)
  return row.map((value) => value / gain)
}

let table

const makeTable = () => Float64Array.from(Array.from({ length: phases + 1 }, (_, phase) => rowOf(phase)).flat())

/** `count` samples at the rate `to`, from `start` on. `pcm` has the samples at the rate `from`, from `origin` on. */
export function resample(pcm, origin, from, to, start, count) {
  table ??= makeTable()
  const resampled = new Int16Array(count)
  for (let index = 0; index < count; index++) {
    // Exact: below 2^53.
    const numerator = (start + index) * from
    const whole = Math.floor(numerator / to)
    const position = ((numerator - whole * to) / to) * phases
    const phase = Math.floor(position)
    const share = position - phase
    const row = phase * taps
    const first = whole - half + 1 - origin
    let [low, high] = [0, 0]
    for (let tap = 0; tap < taps; tap++) {
      const sample = pcm[first + tap]
      low += sample * table[row + tap]
      high += sample * table[row + taps + tap]
    }
    resampled[index] = Math.max(-32_768, Math.min(32_767, Math.round(low + (high - low) * share)))
  }
  return resampled
}
