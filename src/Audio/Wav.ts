/** Byte ranges of an audio file as WAV, or as PCM without a header. */
import type { Piece, Summary } from "./Timeline.ts"

/** 16 bits, little-endian, mono; `pcm` has no header. */
export type Format = "wav" | "pcm"

/** Bytes `start` to `end` (exclusive). */
export interface Range {
  readonly start: number
  readonly end: number
}

/** The source of a range of bytes. `start` and `end` (exclusive) are bytes of the chunk's PCM. */
export type Part<C> =
  | { readonly _tag: "Silence"; readonly length: number }
  | { readonly _tag: "Chunk"; readonly chunk: C; readonly start: number; readonly end: number }

type Sound = Pick<Summary, "sampleRate" | "samples">

export const bytesPerSample = 2
const riffSize = 44
const rf64Size = 80

/** Largest size of the audio in a RIFF file: its 32-bit size field includes 36 bytes of the header. */
const riffLimit = 0xffff_ffff - 36

/** A 32-bit size that is stored in the `ds64` chunk of an RF64 header, or is not known. */
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

/** 44 bytes of RIFF; above `riffLimit`, 80 bytes of RF64 with a `ds64` chunk (EBU Tech 3306). */
export function header(sampleRate: number, samples: number): Uint8Array {
  const data = samples * bytesPerSample
  return data > riffLimit ? rf64(sampleRate, data) : riff(sampleRate, data)
}

const lead = (samples: number, format: Format): number => {
  if (format === "pcm") return 0
  return samples * bytesPerSample > riffLimit ? rf64Size : riffSize
}

/** For audio of unknown length: sizes of all ones, as writers to a pipe leave them. */
export function endlessHeader(sampleRate: number): Uint8Array {
  const bytes = riff(sampleRate, 0)
  bytes.writeUInt32LE(elsewhere, 4)
  bytes.writeUInt32LE(elsewhere, riffSize - 4)
  return bytes
}

export function size({ samples }: Pick<Summary, "samples">, format: Format): number {
  return lead(samples, format) + samples * bytesPerSample
}

/** Index of the first piece that ends after a byte of the audio; `pieces.length` if there is none. */
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

/** Lazily yields the parts of a range of the audio, without a header. `pieces` must cover the range. */
export function* partsOf<C>(pieces: ReadonlyArray<Piece<C>>, range: Range): Generator<Part<C>> {
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

/** Samples that contain all audio in a range of bytes, whatever the format and the size of its header. */
export function samplesAround({ end, start }: Range): { readonly from: number; readonly to: number } {
  return {
    from: Math.max(0, Math.floor((start - rf64Size) / bytesPerSample)),
    to: Math.ceil(end / bytesPerSample)
  }
}

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
