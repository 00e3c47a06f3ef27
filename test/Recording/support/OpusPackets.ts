/** Valid Opus packets of every mode and duration, without an encoder: any payload decodes to some audio. */
import { createRequire } from "node:module"
import { OpusContainer, OpusPacket } from "../../../src/Audio.ts"

/** The build that the server uses: others round differently. */
const { Decoder }: typeof import("@evan/opus") = createRequire(import.meta.url)("@evan/opus/wasm/index.js")

/** What libopus makes of the packets of one chunk. Throws at a packet that is not valid. */
export const decode = (packets: ReadonlyArray<Uint8Array>, rate: 16_000 | 48_000): Buffer => {
  const decoder = new Decoder({ channels: 1, sample_rate: rate })
  return Buffer.concat(packets.map((packet) => Buffer.from(decoder.decode(packet))))
}

/** Mulberry32. */
export const random = (seed: number) => () => {
  seed = (seed + 0x6d2b79f5) | 0
  let t = Math.imul(seed ^ (seed >>> 15), 1 | seed)
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
  return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296
}

const bytesOf = (next: () => number, length: number) =>
  Buffer.from(Array.from({ length }, () => Math.floor(next() * 256)))

/** A mono packet of 2.5 to 120 ms, of one to 48 frames. */
export const packet = (next: () => number): Buffer => {
  const mode = Math.floor(next() * 32) << 3
  const one = OpusContainer.milliseconds(Buffer.of(mode))
  const size = 20 + Math.floor(next() * 60)
  switch (Math.floor(next() * 4)) {
    case 0:
      return Buffer.concat([Buffer.of(mode), bytesOf(next, size)])
    case 1:
      return Buffer.concat([Buffer.of(mode | 1), bytesOf(next, 2 * size)])
    case 2:
      return Buffer.concat([Buffer.of(mode | 2, size), bytesOf(next, size + 10)])
    default: {
      const frames = 1 + Math.floor(next() * Math.min(48, 120 / one))
      return Buffer.concat([
        Buffer.of(mode | 3, frames),
        bytesOf(next, frames * (1 + Math.floor(next() * 20)) + (frames < 3 ? 20 * frames : 0))
      ])
    }
  }
}

export const packets = (count: number, seed: number): ReadonlyArray<Buffer> => {
  const next = random(seed)
  return Array.from({ length: count }, () => packet(next))
}

export const samplesOf = (packets: ReadonlyArray<Uint8Array>, rate: number): number =>
  packets.reduce((sum, packet) => sum + (OpusContainer.milliseconds(packet) * rate) / 1_000, 0)

/** The packets in messages of 1 to 8, each with its start. */
export const messages = (
  packets: ReadonlyArray<Uint8Array>,
  { rate, seed, start }: { readonly rate: number; readonly seed: number; readonly start: number }
): ReadonlyArray<{ readonly start: number; readonly audio: Uint8Array }> => {
  const next = random(seed)
  const found: Array<{ start: number; audio: Uint8Array }> = []
  let samples = 0
  for (let from = 0; from < packets.length;) {
    const part = packets.slice(from, from + 1 + Math.floor(next() * 8))
    found.push({ start: start + samples / rate, audio: OpusPacket.join(part) })
    samples += samplesOf(part, rate)
    from += part.length
  }
  return found
}
