/** What an audio file looks like: the lowest and the highest sample of each of its points, from the peaks of its chunks. */
import { Effect, Stream } from "effect"
import { Peaks } from "../Audio.ts"
import type { AudioFile, Recorded } from "../Playback.ts"
import type { Chunk, ChunkPeaks } from "../Recording.ts"

export interface Waveform {
  readonly file: AudioFile
  /** One for each point, -128 to 127; null where there is nothing to draw. */
  readonly low: ReadonlyArray<number | null>
  readonly high: ReadonlyArray<number | null>
  /** Seconds from the file's start, from and to. At most one for each point. */
  readonly lost: ReadonlyArray<readonly [number, number]>
  /** Seconds from the file's start of which nothing waits for the object store: it has them, but for what is lost. */
  readonly stored: number
}

/** Points wider than this are drawn from one pair for a whole chunk. */
const coarseSeconds = 60

interface Place {
  readonly canvas: Canvas
  readonly piece: AudioFile["pieces"][number]
}

class Canvas {
  readonly file: AudioFile
  readonly low: Array<number | null>
  readonly high: Array<number | null>

  constructor(file: AudioFile, points: number) {
    this.file = file
    this.low = Array.from({ length: points }, () => null)
    this.high = Array.from({ length: points }, () => null)
  }

  get seconds(): number {
    return this.file.samples / this.file.sampleRate
  }

  /** Samples `from` to `to` of the file lie between `low` and `high`. */
  draw(from: number, to: number, low: number, high: number): void {
    const scale = this.low.length / this.file.samples
    const last = Math.min(this.low.length, Math.ceil(to * scale))
    for (let point = Math.floor(from * scale); point < last; point++) {
      this.low[point] = Math.min(this.low[point] ?? low, low)
      this.high[point] = Math.max(this.high[point] ?? high, high)
    }
  }
}

const drawChunk = ({ canvas, piece }: Place, pairs: Int8Array): void => {
  const { offset, samples, skip } = piece
  const draw = (pair: number, from: number, to: number) => {
    const at = Peaks.pairBytes * pair
    const [first, last] = [Math.max(from, skip), Math.min(to, skip + samples)]
    if (first < last) canvas.draw(offset + first - skip, offset + last - skip, pairs[at] ?? 0, pairs[at + 1] ?? 0)
  }
  const count = pairs.length / Peaks.pairBytes
  if (count === 1) draw(0, skip, skip + samples)
  const width = canvas.file.sampleRate / Peaks.perSecond
  for (let pair = 1; pair < count; pair++) draw(pair, (pair - 1) * width, pair * width)
}

/** The parts of samples `from` to `to` that no piece covers. */
const uncovered = (file: AudioFile, from: number, to: number): ReadonlyArray<readonly [number, number]> => {
  const parts: Array<readonly [number, number]> = []
  let at = from
  for (const { offset, samples } of file.pieces) {
    if (offset + samples <= at) continue
    if (offset >= to) break
    if (offset > at) parts.push([at, offset])
    at = Math.max(at, offset + samples)
  }
  return at < to ? [...parts, [at, to]] : parts
}

/** Those closer than a point are one. */
const lostIn = (canvas: Canvas, chunks: ReadonlyArray<Chunk>): Waveform["lost"] => {
  const { file, seconds } = canvas
  const width = seconds / canvas.low.length
  const merged: Array<[number, number]> = []
  for (const chunk of chunks) {
    const from = Math.round((chunk.start - file.start) * file.sampleRate)
    if (chunk.state !== "lost" || from < 0 || from >= file.samples) continue
    for (const [begin, end] of uncovered(file, from, Math.min(file.samples, from + chunk.samples))) {
      const part: [number, number] = [begin / file.sampleRate, end / file.sampleRate]
      const last = merged.at(-1)
      if (last !== undefined && part[0] - last[1] <= width) last[1] = Math.max(last[1], part[1])
      else merged.push(part)
    }
  }
  return merged
}

const storedIn = (file: AudioFile): number => {
  const waiting = file.pieces.find(({ chunk }) => chunk.state === "open" || chunk.state === "sealed")
  return (waiting?.offset ?? file.samples) / file.sampleRate
}

/**
 * The waveform of each audio file. `points` are shared between the files by their durations, at least one for each.
 * `peaksOf` reads no audio.
 */
export const waveforms = Effect.fnUntraced(function* <E>(
  { conversation, files }: Recorded,
  points: number,
  peaksOf: (detail: "tenths" | "whole") => Stream.Stream<ChunkPeaks, E>
) {
  const secondsOf = (file: AudioFile) => file.samples / file.sampleRate
  const total = files.reduce((sum, file) => sum + secondsOf(file), 0)
  const canvases = files.map((file) => new Canvas(file, Math.max(1, Math.round((points * secondsOf(file)) / total))))
  const places = new Map<string, Place>()
  for (const canvas of canvases) {
    for (const piece of canvas.file.pieces) places.set(piece.chunk.id, { canvas, piece })
  }
  const detail = total / points > coarseSeconds ? "whole" : "tenths"
  yield* Stream.runForEach(peaksOf(detail), ({ id, peaks }) =>
    Effect.sync(() => {
      const place = places.get(id)
      if (place !== undefined) drawChunk(place, new Int8Array(peaks.buffer, peaks.byteOffset, peaks.length))
    })
  )
  return canvases.map((canvas): Waveform => ({
    file: canvas.file,
    low: canvas.low,
    high: canvas.high,
    lost: lostIn(canvas, conversation.chunks),
    stored: storedIn(canvas.file)
  }))
})
