/** A chunk's Opus packets: u32 LE packet count, u32 LE bytes of the original PCM16, then for each its u16 LE length and bytes. */
import { Result } from "effect"
import * as OpusPacket from "./OpusPacket.ts"

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

/** Duration of a packet; NaN if its first two bytes are invalid. */
export function milliseconds(packet: Uint8Array): number {
  const [head, second = 0] = packet
  return head === undefined ? Number.NaN : OpusPacket.millisecondsOf(head, second)
}

/** `packets` packets with their lengths, as they are sent and journaled, of `samples` samples. */
export function encode(audio: Uint8Array, packets: number, samples: number): Uint8Array {
  const container = Buffer.allocUnsafe(headSize + audio.length)
  container.writeUInt32LE(packets, 0)
  container.writeUInt32LE(samples * 2, 4)
  container.set(audio, headSize)
  return container
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
