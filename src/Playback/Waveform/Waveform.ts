/** Waveforms of audio files: the lowest and the highest sample at each point, from the peaks of the chunks. */
import { Effect, Stream } from "effect"
import { Peaks } from "../../Audio.ts"
import type { AudioFileHead, WaveformSpan, WaveformData } from "../../Recording.ts"

export interface Waveform {
  readonly file: AudioFileHead
  /** One value for each point, -128 to 127; null without data. */
  readonly low: ReadonlyArray<number | null>
  readonly high: ReadonlyArray<number | null>
  /** From and to, in seconds from the file's start. At most one for each point. */
  readonly lost: ReadonlyArray<readonly [number, number]>
  /** Seconds from the file's start that are in the object store, apart from lost spans. */
  readonly stored: number
}

export interface Waveforms {
  readonly live: boolean
  readonly files: ReadonlyArray<Waveform>
  readonly filesNext: string | undefined
}

type Span = readonly [from: number, to: number]

class Canvas {
  readonly file: AudioFileHead
  /** Spans of recorded and of lost samples, unsorted. */
  readonly captured: Array<Span> = []
  readonly lost: Array<Span> = []
  readonly low: Array<number | null>
  readonly high: Array<number | null>

  constructor(file: AudioFileHead, points: number) {
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

const drawChunk = (canvas: Canvas, { offset, peaks, samples, skip, state }: WaveformSpan): void => {
  if (state === "lost") {
    canvas.lost.push([Math.max(0, offset), Math.min(canvas.file.samples, offset + samples)])
    return
  }
  if (state !== "minute") canvas.captured.push([offset, offset + samples])
  if (peaks === undefined) return
  const pairs = new Int8Array(peaks.buffer, peaks.byteOffset, peaks.length)
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

const byStart = (a: Span, b: Span) => a[0] - b[0]

/** Lost spans without the parts that other chunks cover. Spans closer than a point are merged. */
const lostIn = (canvas: Canvas): Waveform["lost"] => {
  const { sampleRate } = canvas.file
  const width = canvas.seconds / canvas.low.length
  const captured = canvas.captured.sort(byStart)
  const merged: Array<[number, number]> = []
  const add = (from: number, to: number) => {
    if (from >= to) return
    const part: [number, number] = [from / sampleRate, to / sampleRate]
    const last = merged.at(-1)
    if (last !== undefined && part[0] - last[1] <= width) last[1] = Math.max(last[1], part[1])
    else merged.push(part)
  }
  let index = 0
  for (const [from, to] of canvas.lost.sort(byStart)) {
    let at = from
    while (index > 0 && (captured[index]?.[0] ?? Infinity) > from) index--
    for (; index < captured.length; index++) {
      const [begin, end] = captured[index] ?? [to, to]
      if (begin >= to) break
      add(at, begin)
      at = Math.max(at, end)
    }
    add(at, to)
  }
  return merged
}

/** The waveform of each audio file. `points` are distributed by duration, at least one for each file. */
export const waveforms = Effect.fnUntraced(function* (data: WaveformData, points: number) {
  const { files, filesNext, live } = data
  const secondsOf = (file: AudioFileHead) => file.samples / file.sampleRate
  const total = files.reduce((sum, file) => sum + secondsOf(file), 0)
  const canvases = files.map((file) => new Canvas(file, Math.max(1, Math.round((points * secondsOf(file)) / total))))
  yield* Stream.runForEach(data.drawn(total / points), (drawn) =>
    Effect.sync(() => {
      for (const each of drawn) {
        const canvas = canvases[each.file]
        if (canvas !== undefined) drawChunk(canvas, each)
      }
    })
  )
  const drawn = canvases.map((canvas, index): Waveform => ({
    file: canvas.file,
    low: canvas.low,
    high: canvas.high,
    lost: lostIn(canvas),
    stored: (data.stored[index] ?? canvas.file.samples) / canvas.file.sampleRate
  }))
  return { live, files: drawn, filesNext } satisfies Waveforms
})
