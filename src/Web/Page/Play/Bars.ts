/** Draws a waveform on a canvas: bars, lost spans and the playback position. */
import type { FileWaveform } from "../Model.ts"

const barPixels = 2
const gapPixels = 1
const fullScale = 128

interface Drawing {
  readonly canvas: HTMLCanvasElement
  readonly waveform: FileWaveform | undefined
  readonly duration: number
  readonly position: number
}

interface Bar {
  readonly low: number
  readonly high: number
}

const pointAt = ({ high, low }: FileWaveform, point: number): Bar | undefined => {
  const [lowest, highest] = [low[point] ?? null, high[point] ?? null]
  return lowest === null || highest === null ? undefined : { low: lowest, high: highest }
}

/** Interpolates between the points around `at`, so that a coarse waveform looks smooth. */
const between = (waveform: FileWaveform, at: number): Bar | undefined => {
  const left = Math.max(0, Math.floor(at))
  const share = Math.max(0, at - left)
  const [a, b] = [pointAt(waveform, left), pointAt(waveform, left + 1)]
  if (a === undefined || b === undefined) return share < 0.5 ? (a ?? undefined) : b
  return { low: a.low + (b.low - a.low) * share, high: a.high + (b.high - a.high) * share }
}

/** Extremes of the points from `from` to `to` as one bar; undefined without points. */
const barOf = (waveform: FileWaveform, from: number, to: number): Bar | undefined => {
  if (to - from < 1) return between(waveform, (from + to) / 2 - 0.5)
  let bar: Bar | undefined
  for (let point = Math.floor(from); point < to && point < waveform.low.length; point++) {
    const next = pointAt(waveform, point)
    if (next !== undefined) {
      bar = { low: Math.min(bar?.low ?? next.low, next.low), high: Math.max(bar?.high ?? next.high, next.high) }
    }
  }
  return bar
}

export function draw({ canvas, duration, position, waveform }: Drawing): void {
  const context = canvas.getContext("2d")
  const { height, width } = canvas.getBoundingClientRect()
  if (context === null || width === 0) return
  const scale = window.devicePixelRatio
  canvas.width = Math.round(width * scale)
  canvas.height = Math.round(height * scale)
  context.scale(scale, scale)
  const style = getComputedStyle(canvas)
  const color = (name: string) => style.getPropertyValue(name)
  const middle = height / 2
  const xOf = (seconds: number) => (duration === 0 ? 0 : (seconds / duration) * width)
  const played = xOf(position)

  context.fillStyle = color("--gap")
  context.fillRect(0, middle - 0.5, width, 1)
  if (waveform !== undefined) {
    // The waveform of a live file lags behind its duration.
    const extent = xOf(Math.min(waveform.duration, duration))
    const perPixel = waveform.low.length / Math.max(1, extent)
    const [unplayed, heard] = [color("--wave"), color("--played")]
    for (let x = 0; x < extent; x += barPixels + gapPixels) {
      const bar = barOf(waveform, x * perPixel, (x + barPixels + gapPixels) * perPixel)
      if (bar === undefined) continue
      const top = middle - (bar.high / fullScale) * (middle - 2)
      const bottom = middle - (bar.low / fullScale) * (middle - 2)
      context.fillStyle = x < played ? heard : unplayed
      context.fillRect(x, Math.min(top, middle - 1), barPixels, Math.max(2, bottom - top))
    }
    for (const [from, to] of waveform.lost) {
      const lostWidth = Math.max(3, xOf(to) - xOf(from))
      context.fillStyle = color("--lost-area")
      context.fillRect(xOf(from), 0, lostWidth, height)
      context.fillStyle = color("--lost")
      context.fillRect(xOf(from), middle - 1.5, lostWidth, 3)
    }
  }
  context.fillStyle = color("--cursor")
  context.fillRect(Math.min(width - 2, Math.max(0, played - 1)), 0, 2, height)
}
