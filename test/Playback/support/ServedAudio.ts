/** Paths of audio files, and the WAV files expected there. */
import { Timeline } from "../../../src/Audio.ts"
import { rate, t0 } from "./MemoryRecording.ts"

export const idOf = (conversation: string, start = t0, uid = "ada") =>
  Timeline.fileId(uid, conversation, { start, sampleRate: rate, codec: "pcm16" })

export const pathOf = (conversation: string, query = "") =>
  `/v1/sync/audio/${conversation}/${idOf(conversation)}${query}`

/** The WAV file of this audio, written byte by byte. */
export const wavOf = (pcm: Uint8Array) => {
  const head = Buffer.from(
    "524946460000000057415645666d742010000000010001000000000000000000020010006461746100000000",
    "hex"
  )
  head.writeUInt32LE(36 + pcm.length, 4)
  head.writeUInt32LE(rate, 24)
  head.writeUInt32LE(rate * 2, 28)
  head.writeUInt32LE(pcm.length, 40)
  return Buffer.concat([head, pcm])
}
