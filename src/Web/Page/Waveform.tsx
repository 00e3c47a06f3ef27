/** The waveform of an audio file, and where it is played: a slider for keyboards and screen readers, drawn on a canvas. */
import { useEffect, useRef, useState } from "preact/hooks"
import type { FileWaveform } from "./Model.ts"
import { useScheme } from "./Scheme.ts"
import { clock } from "./Words.ts"

const barPixels = 2
const gapPixels = 1
const fullScale = 128
/** An arrow key moves by this, and Page Up and Page Down by ten times as much. */
const stepSeconds = 5

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

/** The points from `from` to `to`, as one bar; none when there is nothing to draw. */
const barOf = ({ high, low }: FileWaveform, from: number, to: number): Bar | undefined => {
  let bar: Bar | undefined
  for (let point = Math.floor(from); point < Math.max(to, Math.floor(from) + 1) && point < low.length; point++) {
    const [lowest, highest] = [low[point] ?? null, high[point] ?? null]
    if (lowest === null || highest === null) continue
    bar = { low: Math.min(bar?.low ?? lowest, lowest), high: Math.max(bar?.high ?? highest, highest) }
  }
  return bar
}

const draw = ({ canvas, duration, position, waveform }: Drawing): void => {
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
    // Between two looks at a live one, its waveform is a little shorter than its duration.
    const extent = xOf(Math.min(waveform.duration, duration))
    const perPixel = waveform.low.length / Math.max(1, extent)
    for (let x = 0; x < extent; x += barPixels + gapPixels) {
      const bar = barOf(waveform, x * perPixel, (x + barPixels + gapPixels) * perPixel)
      if (bar === undefined) continue
      const top = middle - (bar.high / fullScale) * (middle - 2)
      const bottom = middle - (bar.low / fullScale) * (middle - 2)
      context.fillStyle = color(x < played ? "--played" : "--wave")
      context.fillRect(x, Math.min(top, middle - 1), barPixels, Math.max(2, bottom - top))
    }
    for (const [from, to] of waveform.lost) {
      context.fillStyle = color("--lost-area")
      context.fillRect(xOf(from), 0, Math.max(3, xOf(to) - xOf(from)), height)
      context.fillStyle = color("--lost")
      context.fillRect(xOf(from), middle - 1.5, Math.max(3, xOf(to) - xOf(from)), 3)
    }
  }
  context.fillStyle = color("--cursor")
  context.fillRect(Math.min(width - 2, Math.max(0, played - 1)), 0, 2, height)
}

/** Counts up when the waveform has another width. */
const useWidth = (): number => {
  const [count, setCount] = useState(0)
  useEffect(() => {
    const again = () => setCount((value) => value + 1)
    window.addEventListener("resize", again)
    return () => window.removeEventListener("resize", again)
  }, [])
  return count
}

const lostWords = (waveform: FileWaveform | undefined): string => {
  const lost = waveform?.lost ?? []
  return lost.length === 0
    ? ""
    : `, audio is lost at ${lost
        .slice(0, 5)
        .map(([from]) => clock(from))
        .join(", ")}`
}

export const Waveform = (props: {
  readonly label: string
  readonly position: number
  readonly duration: number
  readonly waveform: FileWaveform | undefined
  readonly isLive: boolean
  readonly onSeek: (seconds: number) => void
}) => {
  const { duration, isLive, label, onSeek, position, waveform } = props
  const canvas = useRef<HTMLCanvasElement>(null)
  const width = useWidth()
  const scheme = useScheme()
  useEffect(() => {
    if (canvas.current !== null) draw({ canvas: canvas.current, waveform, duration, position })
  }, [waveform, duration, position, width, scheme])
  const seek = (seconds: number) => onSeek(Math.max(0, Math.min(duration, seconds)))
  const keys: Readonly<Record<string, number>> = {
    ArrowRight: stepSeconds,
    ArrowUp: stepSeconds,
    ArrowLeft: -stepSeconds,
    ArrowDown: -stepSeconds,
    PageUp: stepSeconds * 10,
    PageDown: -stepSeconds * 10
  }
  return (
    <div class="waveform">
      <div class="stage">
        <canvas ref={canvas} aria-hidden="true" />
        <input
          type="range"
          min={0}
          max={Math.max(duration, 0.001)}
          step="any"
          value={Math.min(position, duration)}
          aria-label={label}
          aria-valuetext={`${clock(position)} of ${clock(duration)}${lostWords(waveform)}`}
          onInput={(event) => seek(event.currentTarget.valueAsNumber)}
          onKeyDown={(event) => {
            const by = keys[event.key]
            if (by === undefined) return
            event.preventDefault()
            seek(position + by)
          }}
        />
      </div>
      <div class="times">
        <span>{clock(position)}</span>
        {(waveform?.lost.length ?? 0) > 0 && <span class="lost-words">red: lost</span>}
        <span>{isLive ? `${clock(duration)}, going on` : clock(duration)}</span>
      </div>
    </div>
  )
}
