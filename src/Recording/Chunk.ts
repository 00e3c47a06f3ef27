/** A chunk as the rest of the program sees it, wherever its audio is. */
import type { Span } from "../Audio.ts"

/** `open` and `sealed`: in the journal. `stored`: an object. `lost`: a span without audio, silence in playback. */
export type ChunkState = "open" | "sealed" | "stored" | "lost"

export interface ObjectSum {
  readonly bytes: number
  readonly crc32c: number
}

/** Up to 60 s of contiguous audio. `samples` counts what is durable. */
export interface Chunk extends Span.Span {
  readonly id: string
  readonly uid: string
  readonly conversation: string
  readonly codec: Span.Codec
  readonly state: ChunkState
  /** Of one in the journal; see `JournalChunk`. */
  readonly clockShift?: number
  /** The object's key, also before it is stored. */
  readonly key: string
  /** Of the object as it is stored, encrypted or not; whole reads are compared with it. Not known before it is stored. */
  readonly object?: ObjectSum | undefined
}

/** Whether its audio is read as PCM16: Opus is, once it is stored. */
export function isReadAsPcm({ codec, key, state }: Chunk): boolean {
  return codec === "pcm16" || state === "lost" || (state === "stored" && /\.opus(\.enc)?$/.test(key))
}

/** A name and the milliseconds after it, before the names that only this chunk asks for. */
const commonNames = 4
/** Names of a chunk lie within a tenth of a second: microseconds after the names that all ask for. */
const ownNames = 95_000

/**
 * The object's name: seconds of the first sample with three decimals. At the first attempts after another object had it, the
 * next milliseconds; then microseconds that follow from the chunk's id, the same ones after a restart.
 */
export function objectKey(
  chunk: { readonly id: Uint8Array; readonly uid: string; readonly conversation: string; readonly start: number },
  attempt = 0
): string {
  const { conversation, id, start, uid } = chunk
  const ids = new DataView(id.buffer, id.byteOffset, id.byteLength)
  const own = attempt < commonNames ? 0 : (ids.getUint32(0) + attempt * ids.getUint32(4)) % ownNames
  const millis = attempt < commonNames ? attempt : commonNames + Math.floor(own / 1000)
  const micros = attempt < commonNames ? "" : String(own % 1000).padStart(3, "0")
  const seconds = (Math.round(start * 1000 + millis) / 1000).toFixed(3)
  return `chunks/${uid}/${conversation}/${seconds}${micros}.batch.bin`
}

/** The name of the object when its audio is encrypted. */
export function sealedKey(key: string): string {
  return key.replace(/\.bin$/, ".enc")
}
