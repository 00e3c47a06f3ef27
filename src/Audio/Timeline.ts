/** Lays chunks out as audio files: at which sample each of them is heard, and where there is silence. */
import { Schema } from "effect"
import * as Draft from "./Draft.ts"
import type { Codec } from "./Span.ts"

export { type TimelineChunk, toleranceSeconds } from "./Draft.ts"

type TimelineChunk = Draft.TimelineChunk

/** `samples` samples of a chunk, from its sample `skip` on, heard from sample `offset` of the file on. */
export interface Piece<C> extends Draft.Place {
  readonly chunk: C
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

/** The order in which chunks are laid out. Of those that begin at the same time the longest comes first, and is the one that is heard. */
export const order = (a: TimelineChunk, b: TimelineChunk): number => {
  if (a.start !== b.start) return a.start - b.start
  if (a.samples !== b.samples) return b.samples - a.samples
  const [one = "", other = ""] = [a.id, b.id]
  return one < other ? -1 : one > other ? 1 : 0
}

/** What a layout has come to. */
export const State = Schema.Array(Draft.Draft)
export type State = typeof State.Type

/**
 * Lays out chunks that come one by one, in `order`, without keeping them. More than `gapSeconds` without a chunk, another
 * sample rate or another codec begin a new file. A gap of more than 1 ms is silence; where chunks overlap by more than
 * that, the one that began earlier is heard. It can be stopped, and gone on with from its `state`.
 */
export class Layout {
  readonly #gapSeconds: number
  readonly #done: Array<Draft.Draft>
  #last: Draft.Draft | undefined

  constructor(gapSeconds: number, state: State = []) {
    this.#gapSeconds = gapSeconds
    this.#done = state.slice(0, -1)
    this.#last = state.at(-1)
  }

  /** Where in the last file it is heard. */
  add(chunk: TimelineChunk): Draft.Place | undefined {
    if (chunk.samples <= 0) return undefined
    let file = this.#last
    if (file === undefined || !Draft.takes(file, chunk, this.#gapSeconds)) {
      if (file !== undefined) this.#done.push(file)
      file = Draft.begin(chunk)
    }
    if (chunk.state === "lost") {
      this.#last = Draft.addLost(file, chunk)
      return undefined
    }
    const { draft, place } = Draft.addAudio(file, chunk)
    this.#last = draft
    return place
  }

  /** How many files there are. */
  get count(): number {
    return this.#done.length + (this.#last === undefined ? 0 : 1)
  }

  get state(): State {
    return this.#last === undefined ? [] : [...this.#done, this.#last]
  }

  get files(): ReadonlyArray<Summary> {
    return this.state.map((draft) => ({
      start: draft.start,
      sampleRate: draft.sampleRate,
      codec: draft.codec,
      samples: draft.end,
      capturedSamples: draft.captured,
      lostSamples: Draft.lostSamples(draft)
    }))
  }
}

/** The audio files of one conversation, by start, from chunks in any order, as `Layout` lays them out. */
export const layout = <C extends TimelineChunk>(
  chunks: Iterable<C>,
  gapSeconds: number
): ReadonlyArray<AudioFile<C>> => {
  const layout = new Layout(gapSeconds)
  const pieces: Array<Array<Piece<C>>> = []
  for (const chunk of [...chunks].sort(order)) {
    const place = layout.add(chunk)
    if (layout.count > pieces.length) pieces.push([])
    if (place !== undefined) pieces.at(-1)?.push({ chunk, ...place })
  }
  return layout.files.map((file, index) => ({ ...file, pieces: pieces[index] ?? [] }))
}
