/** A chunk's Opus packets: u32 LE packet count, u32 LE bytes of the original PCM16, then for each its u16 LE length and bytes. */
import { Result } from "effect"

export interface OpusContainer {
  readonly packets: ReadonlyArray<Uint8Array>
  /** Bytes of the original PCM16; 0 if unknown. */
  readonly originalBytes: number
}

const headSize = 8

/** Fails with a description of the first error. Bytes after the last packet are ignored. */
export function parse(bytes: Uint8Array): Result.Result<OpusContainer, string> {
  if (bytes.length < headSize) return Result.fail(`${bytes.length} bytes are too short for an Opus container`)
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const count = view.getUint32(0, true)
  const packets: Array<Uint8Array> = []
  let at = headSize
  while (packets.length < count) {
    const number = `packet ${packets.length + 1} of ${count}`
    if (at + 2 > bytes.length) return Result.fail(`${number} is missing`)
    const length = view.getUint16(at, true)
    const packet = bytes.subarray(at + 2, at + 2 + length)
    if (packet.length < length) return Result.fail(`${number} is cut off`)
    if (Number.isNaN(milliseconds(packet))) return Result.fail(`${number} is not Opus`)
    packets.push(packet)
    at += 2 + length
  }
  return Result.succeed({ packets, originalBytes: view.getUint32(4, true) })
}

const silk = [10, 20, 40, 60]
const hybrid = [10, 20]
const celt = [2.5, 5, 10, 20]

/** Duration of a packet (RFC 6716, section 3.1); NaN if it is invalid. */
export function milliseconds(packet: Uint8Array): number {
  const [head, second] = packet
  if (head === undefined) return Number.NaN
  const mode = head >> 3
  const frame = mode < 12 ? silk[mode & 3] : mode < 16 ? hybrid[mode & 1] : celt[mode & 3]
  const frames = (head & 3) === 0 ? 1 : (head & 3) < 3 ? 2 : (second ?? 0) & 63
  const duration = frames * (frame ?? Number.NaN)
  return duration > 0 && duration <= 120 ? duration : Number.NaN
}

/** Samples before the encoder's padding is trimmed. */
export function decodedSamples({ packets }: OpusContainer, sampleRate: number): number {
  return packets.reduce((sum, packet) => sum + (milliseconds(packet) * sampleRate) / 1_000, 0)
}

/** Samples of the original audio, without the encoder's padding of the last packet. */
export function samples(container: OpusContainer, sampleRate: number): number {
  const decoded = decodedSamples(container, sampleRate)
  const original = Math.floor(container.originalBytes / 2)
  return original > 0 && original < decoded ? original : decoded
}
