/** Lays chunks out as audio files: at which sample each of them is heard, and where there is silence. */
import { type TimelineChunk, place, positionOf } from "./Placement.ts"
import type { Codec } from "./Span.ts"

export { type TimelineChunk, toleranceSeconds } from "./Placement.ts"

/** The longest gap within an audio file, played as silence; after a longer one a new file begins. */
export const fileGapSeconds = 90

/** `samples` samples of a chunk, from its sample `skip` on, heard from sample `offset` of the file on. */
export interface Piece<C> {
  readonly chunk: C
  readonly offset: number
  readonly skip: number
  readonly samples: number
}

/** An audio file but for its chunks. */
export interface Summary {
  /** Unix seconds of the first sample. */
  readonly start: number
  readonly sampleRate: number
  readonly codec: Codec
  /** Length, silence included. */
  readonly samples: number
  /** What the pieces have together. */
  readonly capturedSamples: number
  /** Silence where audio was recorded and then lost. */
  readonly lostSamples: number
}

/** A run of chunks without a long gap. What no piece covers is silence. */
export interface AudioFile<C> extends Summary {
  /** By offset; they do not overlap. */
  readonly pieces: ReadonlyArray<Piece<C>>
}

/** The order in which chunks are laid out: that of the primary key of their rows. */
export function order(a: Pick<TimelineChunk, "start" | "id">, b: Pick<TimelineChunk, "start" | "id">): number {
  if (a.start !== b.start) return a.start - b.start
  const [one = "", other = ""] = [a.id, b.id]
  return one < other ? -1 : one > other ? 1 : 0
}

/** The audio files of one conversation, by start, from chunks in any order. The index in the database is equal to it. */
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
