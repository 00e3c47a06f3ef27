/** A chunk of recorded audio, in the journal or in the store. */
import type { Span } from "../Audio.ts"

/** `open` and `sealed`: in the journal. `stored`: an object. `lost`: a span without audio, silence in playback. */
export type ChunkState = "open" | "sealed" | "stored" | "lost"

export interface ObjectChecksum {
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
  /** Seconds; only of a chunk in the journal. See `ClockShifts`. */
  readonly clockShifts?: ReadonlyArray<number>
  /** The object's key, assigned before the upload. */
  readonly key: string
  /** Size and checksum of the stored bytes, encrypted or not; whole reads are verified against it. */
  readonly object?: ObjectChecksum | undefined
}

/** Names tried at whole milliseconds, before names derived from the chunk's id. */
const commonNames = 4
/** Microseconds over which names derived from the id are spread: a chunk's names stay within a tenth of a second. */
const ownNames = 95_000

/**
 * The object's name: Unix seconds of the first sample with three decimals. If another object has the name, the next attempts
 * take the following milliseconds, then microseconds derived from the chunk's id, so that a restart tries the same names.
 */
export function objectKey(
  chunk: {
    readonly id: string
    readonly uid: string
    readonly conversation: string
    readonly start: number
    readonly codec: Span.Codec
  },
  attempt = 0
): string {
  const { codec, conversation, id, start, uid } = chunk
  const ids = id.replaceAll("-", "")
  const [first, step] = [Number.parseInt(ids.slice(0, 8), 16), Number.parseInt(ids.slice(8, 16), 16)]
  const own = attempt < commonNames ? 0 : (first + attempt * step) % ownNames
  const millis = attempt < commonNames ? attempt : commonNames + Math.floor(own / 1000)
  const micros = attempt < commonNames ? "" : String(own % 1000).padStart(3, "0")
  const seconds = (Math.round(start * 1000 + millis) / 1000).toFixed(3)
  return `chunks/${uid}/${conversation}/${seconds}${micros}${codec === "opus" ? ".opus" : ".batch.bin"}`
}

export function encryptedKey(key: string): string {
  return key.endsWith(".opus") ? `${key}.enc` : key.replace(/\.bin$/, ".enc")
}
