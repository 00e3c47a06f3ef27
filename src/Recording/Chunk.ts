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
  /** The object's key, also before it is stored. */
  readonly key: string
  /** Of the object as it is stored, encrypted or not; whole reads are compared with it. Not known before it is stored. */
  readonly object?: ObjectSum | undefined
}

/** Whether its audio is read as PCM16: Opus is, once it is stored. */
export const isReadAsPcm = ({ codec, key, state }: Chunk): boolean =>
  codec === "pcm16" || state === "lost" || (state === "stored" && /\.opus(\.enc)?$/.test(key))

/** The object's name: seconds of the first sample with three decimals; `shift` milliseconds later if that name is taken. */
export const objectKey = (chunk: { uid: string; conversation: string; start: number }, shift = 0): string =>
  `chunks/${chunk.uid}/${chunk.conversation}/${(Math.round(chunk.start * 1000 + shift) / 1000).toFixed(3)}.batch.bin`

/** The name of the object when its audio is encrypted. */
export const sealedKey = (key: string): string => key.replace(/\.bin$/, ".enc")
