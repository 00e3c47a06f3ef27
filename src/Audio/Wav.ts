/** The bytes of an audio file as WAV, or as PCM without a header: any range of them, without touching the rest. */
import type { Piece, Summary } from "./Timeline.ts"

/** `pcm`: the same samples without a header. Both are 16 bits, little-endian, mono. */
export type Format = "wav" | "pcm"

/** Bytes `start` to `end`, `end` not included. */
export interface Range {
  readonly start: number
  readonly end: number
}

/** Where bytes of a file come from. `start` and `end` of a chunk are bytes of its PCM, `end` not included. */
export type Segment<C> =
  | { readonly _tag: "Silence"; readonly length: number }
  | { readonly _tag: "Chunk"; readonly chunk: C; readonly start: number; readonly end: number }

type Sound = Pick<Summary, "sampleRate" | "samples">

export const bytesPerSample = 2
const riffSize = 44
const rf64Size = 80

/** Most bytes of audio whose sizes fit the 32 bits of a RIFF header, which counts 36 bytes of itself. */
const riffLimit = 0xffff_ffff - 36

/** Says "look in the `ds64` chunk" in an RF64 header. */
const elsewhere = 0xffff_ffff

const fmt = (sampleRate: number): Buffer => {
  const bytes = Buffer.alloc(24)
  bytes.write("fmt ", 0, "latin1")
  bytes.writeUInt32LE(16, 4)
  bytes.writeUInt16LE(1, 8)
  bytes.writeUInt16LE(1, 10)
  bytes.writeUInt32LE(sampleRate, 12)
  bytes.writeUInt32LE(sampleRate * bytesPerSample, 16)
  bytes.writeUInt16LE(bytesPerSample, 20)
  bytes.writeUInt16LE(bytesPerSample * 8, 22)
  return bytes
}

const riff = (sampleRate: number, data: number): Buffer => {
  const bytes = Buffer.alloc(riffSize)
  bytes.write("RIFF....WAVE", 0, "latin1")
  bytes.writeUInt32LE(riffSize - 8 + data, 4)
  fmt(sampleRate).copy(bytes, 12)
  bytes.write("data", 36, "latin1")
  bytes.writeUInt32LE(data, 40)
  return bytes
}

const rf64 = (sampleRate: number, data: number): Buffer => {
  const bytes = Buffer.alloc(rf64Size)
  bytes.write("RF64....WAVEds64", 0, "latin1")
  bytes.writeUInt32LE(elsewhere, 4)
  bytes.writeUInt32LE(28, 16)
  bytes.writeBigUInt64LE(BigInt(rf64Size - 8 + data), 20)
  bytes.writeBigUInt64LE(BigInt(data), 28)
  bytes.writeBigUInt64LE(BigInt(data / bytesPerSample), 36)
  fmt(sampleRate).copy(bytes, 48)
  bytes.write("data", 72, "latin1")
  bytes.writeUInt32LE(elsewhere, 76)
  return bytes
}

/** 44 bytes of RIFF; from 4 GiB − 36 bytes of audio on, 80 bytes of RF64 with a `ds64` chunk (EBU Tech 3306). */
export function header(sampleRate: number, samples: number): Uint8Array {
  const data = samples * bytesPerSample
  return data > riffLimit ? rf64(sampleRate, data) : riff(sampleRate, data)
}

/** Bytes before the first sample. */
const lead = (samples: number, format: Format): number => {
  if (format === "pcm") return 0
  return samples * bytesPerSample > riffLimit ? rf64Size : riffSize
}

/** Bytes of the whole file. */
export function size({ samples }: Pick<Summary, "samples">, format: Format): number {
  return lead(samples, format) + samples * bytesPerSample
}

/** The first piece that ends after a byte of the audio; the number of pieces if there is none. */
const seek = (pieces: ReadonlyArray<Piece<unknown>>, byte: number): number => {
  let low = 0
  let high = pieces.length
  while (low < high) {
    const middle = (low + high) >>> 1
    const piece = pieces[middle]
    if (piece !== undefined && (piece.offset + piece.samples) * bytesPerSample <= byte) low = middle + 1
    else high = middle
  }
  return low
}

/** The segments of a range of the audio without its header, made while they are asked for. `pieces` has all that are heard in it. */
export function* sound<C>(pieces: ReadonlyArray<Piece<C>>, range: Range): Generator<Segment<C>> {
  let at = range.start
  for (let index = seek(pieces, at); at < range.end; index++) {
    const piece = pieces[index]
    const from = Math.min(range.end, (piece?.offset ?? Infinity) * bytesPerSample)
    if (from > at) yield { _tag: "Silence", length: from - at }
    at = Math.max(at, from)
    if (piece === undefined || at === range.end) return
    const to = Math.min(range.end, (piece.offset + piece.samples) * bytesPerSample)
    const shift = (piece.skip - piece.offset) * bytesPerSample
    yield { _tag: "Chunk", chunk: piece.chunk, start: at + shift, end: to + shift }
    at = to
  }
}

/** What bytes `range` of the file, which lies within its `size`, have of the header, and their range of the audio behind it. */
export function split(
  file: Sound,
  format: Format,
  range: Range
): { readonly header: Uint8Array; readonly sound: Range } {
  const begin = lead(file.samples, format)
  const isInHeader = range.start < begin && range.start < range.end
  return {
    header: isInHeader
      ? header(file.sampleRate, file.samples).subarray(range.start, Math.min(range.end, begin))
      : new Uint8Array(0),
    sound: { start: Math.max(0, range.start - begin), end: Math.max(0, range.end - begin) }
  }
}
