/** Lays out chunks as audio files. */
import { createHash } from "node:crypto"
import { type TimelineChunk, place, positionOf } from "./Placement.ts"
import type { Codec } from "./Span.ts"

export { type TimelineChunk, toleranceSeconds } from "./Placement.ts"

/** The longest gap within an audio file, played as silence. A longer gap begins a new file. */
export const fileGapSeconds = 90

/** `samples` samples of a chunk from its sample `skip`, heard at sample `offset` of the file. */
export interface Piece<C> {
  readonly chunk: C
  readonly offset: number
  readonly skip: number
  readonly samples: number
}

export interface Summary {
  readonly start: number
  readonly sampleRate: number
  readonly codec: Codec
  /** Length, silence included. */
  readonly samples: number
  readonly capturedSamples: number
  /** Samples of silence where recorded audio was lost. */
  readonly lostSamples: number
}

/** A run of chunks without a long gap; silence where no piece lies. */
export interface AudioFile<C> extends Summary {
  /** By offset, without overlap. */
  readonly pieces: ReadonlyArray<Piece<C>>
}

/** The id of an audio file, stable while it grows: a UUID of version 8 (RFC 9562, section 5.8) from its immutable properties. */
export function fileId(
  uid: string,
  conversation: string,
  { codec, sampleRate, start }: Pick<Summary, "start" | "sampleRate" | "codec">
): string {
  // Unambiguous: neither ids nor numbers contain a slash.
  const name = [uid, conversation, start, sampleRate, codec].join("/")
  const hex = createHash("sha256").update(name).digest("hex")
  const variant = ((Number.parseInt(hex.slice(16, 17), 16) & 0x3) | 0x8).toString(16)
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-${variant}${hex.slice(17, 20)}-${hex.slice(20, 32)}`
}

/** The order of the layout, equal to that of the rows' primary key. */
export function order(a: Pick<TimelineChunk, "start" | "id">, b: Pick<TimelineChunk, "start" | "id">): number {
  if (a.start !== b.start) return a.start - b.start
  const [one = "", other = ""] = [a.id, b.id]
  return one < other ? -1 : one > other ? 1 : 0
}

/** The audio files of one conversation, by start, from chunks in any order. The reference for the database's index. */
export function layout<C extends TimelineChunk>(
  chunks: Iterable<C>,
  gapSeconds = fileGapSeconds
): ReadonlyArray<AudioFile<C>> {
  const files: Array<Omit<AudioFile<C>, "pieces"> & { pieces: Array<Piece<C>> }> = []
  let state
  for (const chunk of [...chunks].filter(({ samples }) => samples > 0).sort(order)) {
    const placement = place(state, chunk, gapSeconds)
    state = placement.state
    const { codec, sampleRate, start } = chunk
    if (placement.begins)
      files.push({ start, sampleRate, codec, samples: 0, capturedSamples: 0, lostSamples: 0, pieces: [] })
    const file = files.pop()
    if (file === undefined) break
    const origin = positionOf(file.start, file.sampleRate)
    if (placement.heard > 0)
      file.pieces.push({ chunk, offset: placement.at - origin, skip: placement.skip, samples: placement.heard })
    files.push({
      ...file,
      samples: state.end - origin,
      capturedSamples: file.capturedSamples + placement.heard,
      lostSamples: file.lostSamples + placement.lost
    })
  }
  return files
}
