/** The structure of an Opus packet (RFC 6716, section 3). Decoders accept every packet that is valid by it. */

/** As many bytes as the decoder takes; 120 ms of 510 kb/s, the highest bit rate, have 7,650. */
export const largestPacket = 8_192

/** Hz. Opus decodes to these only. */
export const sampleRates: ReadonlyArray<number> = [8_000, 12_000, 16_000, 24_000, 48_000]

const largestFrame = 1_275
const longestMillis = 120

const silk = [10, 20, 40, 60]
const hybrid = [10, 20]
const celt = [2.5, 5, 10, 20]

/** Duration of a packet by its first two bytes; NaN if they are invalid. */
export function millisecondsOf(head: number, second: number): number {
  const mode = head >> 3
  const frame = mode < 12 ? silk[mode & 3] : mode < 16 ? hybrid[mode & 1] : celt[mode & 3]
  const frames = (head & 3) === 0 ? 1 : (head & 3) < 3 ? 2 : second & 63
  const duration = frames * (frame ?? Number.NaN)
  return duration > 0 && duration <= longestMillis ? duration : Number.NaN
}

/** Whether the bytes from `at` hold the lengths of all frames but the last one, then exactly the frames. */
const hasFrames = (packet: Uint8Array, from: number, to: number, frames: number): boolean => {
  let [at, bytes] = [from, 0]
  for (let frame = 1; frame < frames; frame++) {
    const first = packet[at++] ?? 0
    bytes += first < 252 ? first : first + 4 * (packet[at++] ?? 0)
  }
  const last = to - at - bytes
  return at <= to && last >= 0 && last <= largestFrame
}

const hasEqualFrames = (bytes: number, frames: number): boolean =>
  bytes >= 0 && bytes % frames === 0 && bytes / frames <= largestFrame

const hasCountedFrames = (packet: Uint8Array): boolean => {
  const second = packet[1] ?? 0
  let [at, to] = [2, packet.length]
  for (let padding = (second & 0x40) > 0 ? 255 : 0; padding === 255;) {
    if (at >= to) return false
    padding = packet[at++] ?? 0
    to -= Math.min(padding, 254)
  }
  const frames = second & 63
  return (second & 0x80) > 0 ? hasFrames(packet, at, to, frames) : hasEqualFrames(to - at, frames)
}

const isValid = (packet: Uint8Array): boolean => {
  const [head = 0, second = 0] = packet
  if (Number.isNaN(millisecondsOf(head, second))) return false
  switch (head & 3) {
    case 0:
      return hasEqualFrames(packet.length - 1, 1)
    case 1:
      return hasEqualFrames(packet.length - 1, 2)
    case 2:
      return hasFrames(packet, 1, packet.length, 2)
    default:
      return packet.length > 1 && hasCountedFrames(packet)
  }
}

/** The packets, each after its u16 LE length. */
export function join(packets: ReadonlyArray<Uint8Array>): Uint8Array {
  const joined = Buffer.allocUnsafe(packets.reduce((sum, { length }) => sum + 2 + length, 0))
  let at = 0
  for (const packet of packets) {
    at = joined.writeUInt16LE(packet.length, at)
    joined.set(packet, at)
    at += packet.length
  }
  return joined
}

export function split(audio: Uint8Array): ReadonlyArray<Uint8Array> {
  const packets: Array<Uint8Array> = []
  for (let at = 0; at < audio.length;) {
    const end = at + 2 + ((audio[at] ?? 0) | ((audio[at + 1] ?? 0) << 8))
    packets.push(audio.subarray(at + 2, end))
    at = end
  }
  return packets
}

/** What is wrong with packets that are each preceded by their u16 LE length; undefined if nothing is. */
export function problemOf(audio: Uint8Array): string | undefined {
  for (let at = 0; at < audio.length;) {
    const length = (audio[at] ?? 0) | ((audio[at + 1] ?? 0) << 8)
    const end = at + 2 + length
    if (at + 2 > audio.length || end > audio.length) return "an Opus packet that is cut off"
    if (length === 0) return "an empty Opus packet"
    if (length > largestPacket || !isValid(audio.subarray(at + 2, end))) return "a packet that is not Opus"
    at = end
  }
  return undefined
}
