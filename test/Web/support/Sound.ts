/** Generates and compares sounds. */
import { random } from "../../support/Crash.ts"

/** Low-pass noise, alternately loud and quiet, that matches only itself. */
export const noise = (seconds: number, rate: number, seed = 1): Buffer => {
  const next = random(seed)
  const pcm = Buffer.alloc(Math.round(seconds * rate) * 2)
  let level = 0
  for (let index = 0; index < pcm.length / 2; index++) {
    level += 0.25 * (next() * 2 - 1 - level)
    const loud = 0.55 + 0.45 * Math.sin((2 * Math.PI * index) / rate / 0.7)
    pcm.writeInt16LE(Math.round(26_000 * loud * level), index * 2)
  }
  return pcm
}

export const wav = (
  pcm: Buffer,
  rate: number,
  format: { readonly coding?: number; readonly channels?: number } = {}
) => {
  const { channels = 1, coding = 1 } = format
  const head = Buffer.alloc(44)
  head.write("RIFF....WAVEfmt ", 0, "latin1")
  head.writeUInt32LE(36 + pcm.length, 4)
  head.writeUInt32LE(16, 16)
  head.writeUInt16LE(coding, 20)
  head.writeUInt16LE(channels, 22)
  head.writeUInt32LE(rate, 24)
  head.writeUInt32LE(rate * 2 * channels, 28)
  head.writeUInt16LE(2 * channels, 32)
  head.writeUInt16LE(16, 34)
  head.write("data", 36, "latin1")
  head.writeUInt32LE(pcm.length, 40)
  return Buffer.concat([head, pcm])
}

export const samplesOf = (pcm: Buffer): Int16Array => new Int16Array(Uint8Array.from(pcm).buffer)

interface Match {
  /** Sample of the second sound at which the first one matches best. */
  readonly lag: number
  /** 1 if they differ only in level. */
  readonly correlation: number
  /** Of the first to the second. */
  readonly level: number
}

const at = (a: Int16Array, b: Int16Array, lag: number, length: number): Match => {
  let [ab, aa, bb] = [0, 0, 0]
  for (let index = 0; index < length; index++) {
    const [x, y] = [a[index] ?? 0, b[lag + index] ?? 0]
    ab += x * y
    aa += x * x
    bb += y * y
  }
  return { lag, correlation: ab / Math.sqrt(aa * bb || 1), level: Math.sqrt(aa / (bb || 1)) }
}

/** Finds `part` in `whole` by its first `probe` samples, of which a tenth decides where all are compared. */
export const match = (part: Int16Array, whole: Int16Array, probe: number): Match => {
  let best = { lag: 0, correlation: -1, level: 0 }
  for (let lag = 0; lag + part.length <= whole.length; lag++) {
    if (at(part, whole, lag, probe / 10).correlation < best.correlation / 2) continue
    const found = at(part, whole, lag, probe)
    if (found.correlation > best.correlation) best = found
  }
  return at(part, whole, best.lag, part.length)
}
