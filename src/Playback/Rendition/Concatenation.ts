/** Several audio files as one, one after another, without the time between them. */
import { createHash } from "node:crypto"
import { Effect } from "effect"
import type { RecordedFile } from "../../Recording.ts"

/** Samples `from` to `to` (exclusive) of an audio file. */
export interface Part {
  readonly file: RecordedFile
  readonly from: number
  readonly to: number
}

/** A part with the number of samples before it. */
interface Joined extends Part {
  readonly offset: number
}

const lengthOf = ({ from, to }: Part): number => to - from

type Pieces = Effect.Success<ReturnType<RecordedFile["pieces"]>>["pieces"]

/** The pieces without what lies outside the part, moved by `shift`. */
const within = ({ from, to }: Part, pieces: Pieces, shift: number): Pieces =>
  pieces.flatMap((piece) => {
    const begin = Math.max(from, piece.offset)
    const samples = Math.min(to, piece.offset + piece.samples) - begin
    if (samples <= 0) return []
    return [{ ...piece, offset: begin + shift, skip: piece.skip + begin - piece.offset, samples }]
  })

/** A Unix second lies within a thousandth of a sample of the one that is meant. */
const tolerance = 1e-3

/** The first sample at or after a Unix second. */
export function sampleAt({ sampleRate, samples, start }: RecordedFile, seconds: number): number {
  return Math.min(samples, Math.max(0, Math.ceil((seconds - start) * sampleRate - tolerance)))
}

/** The part with a sample. */
const partAt = (parts: ReadonlyArray<Joined>, sample: number): Joined | undefined => {
  let [low, high] = [0, parts.length]
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((parts[middle]?.offset ?? Infinity) <= sample) low = middle + 1
    else high = middle
  }
  return parts[low - 1]
}

/**
 * Audio that is inserted among live chunks leaves the version of its file, but not its `capturedSamples`. They are not known
 * of a part of the file, so the version of the part changes also when the rest of the file grows.
 */
const contentOf = ({ file: { capturedSamples, lostSamples, samples, version }, from, to }: Part): string =>
  from === 0 && to === samples ? version : `${version} ${capturedSamples} ${lostSamples}`

/** The end of the last part is left out: it may be that of a file that grows. */
const versionOf = (parts: ReadonlyArray<Joined>): string =>
  createHash("sha256")
    .update(parts.map((part) => `${part.offset} ${part.file.id} ${contentOf(part)} ${part.from}`).join("\n"))
    .digest("base64url")

/**
 * Undefined without a sample, or if the sample rates differ. Reads a page of one file at a time. Of a part that is less than
 * its file, `capturedSamples` and `lostSamples` are upper bounds.
 */
export function concatenate(id: string, parts: ReadonlyArray<Part>): RecordedFile | undefined {
  const joined: Array<Joined> = []
  let samples = 0
  for (const part of parts.filter((part) => lengthOf(part) > 0)) {
    joined.push({ ...part, offset: samples })
    samples += lengthOf(part)
  }
  const [first] = joined
  if (first === undefined) return undefined
  const { codec, sampleRate, start } = first.file
  if (joined.some(({ file }) => file.sampleRate !== sampleRate)) return undefined
  const sumOf = (of: "capturedSamples" | "lostSamples") =>
    joined.reduce((sum, part) => sum + Math.min(part.file[of], lengthOf(part)), 0)
  return {
    id,
    start: start + first.from / sampleRate,
    sampleRate,
    codec: joined.every(({ file }) => file.codec === codec) ? codec : "pcm16",
    samples,
    capturedSamples: sumOf("capturedSamples"),
    lostSamples: sumOf("lostSamples"),
    version: versionOf(joined),
    pieces: (from, to) => {
      const part = partAt(joined, from)
      if (part === undefined) return Effect.succeed({ pieces: [], end: to })
      const shift = part.offset - part.from
      return Effect.map(part.file.pieces(from - shift, Math.min(part.to, to - shift)), ({ end, pieces }) => ({
        pieces: within(part, pieces, shift),
        end: end + shift
      }))
    }
  }
}
