/** Waveform with the playback position: a canvas over a slider for keyboards and screen readers. */
import { useEffect, useRef, useState } from "preact/hooks"
import { draw } from "./Bars.ts"
import type { FileWaveform } from "../Model.ts"
import { useScheme } from "../Scheme.ts"
import { clock } from "../Format.ts"

/** Step of an arrow key; Page Up and Page Down move ten steps. */
const stepSeconds = 5
/** Lost spans that the label names; further ones are counted. */
const maxSpans = 3

const keys: Readonly<Record<string, number>> = {
  ArrowRight: stepSeconds,
  ArrowUp: stepSeconds,
  ArrowLeft: -stepSeconds,
  ArrowDown: -stepSeconds,
  PageUp: stepSeconds * 10,
  PageDown: -stepSeconds * 10
}

const useWidth = (): number => {
  const [count, setCount] = useState(0)
  useEffect(() => {
    const again = () => setCount((value) => value + 1)
    window.addEventListener("resize", again)
    return () => window.removeEventListener("resize", again)
  }, [])
  return count
}

/** `Lost 0:10–0:15, 1:02–1:04 and 2 more`. */
const lostWords = (lost: FileWaveform["lost"]): string => {
  const spans = lost.slice(0, maxSpans).map(([from, to]) => `${clock(from)}–${clock(to)}`)
  return `Lost ${spans.join(", ")}${lost.length > maxSpans ? ` and ${lost.length - maxSpans} more` : ""}`
}

export function Waveform(props: {
  readonly label: string
  readonly position: number
  readonly duration: number
  readonly waveform: FileWaveform | undefined
  readonly isLive: boolean
  readonly onSeek: (seconds: number) => void
  readonly onToggle: () => void
}) {
  const { duration, isLive, label, onSeek, onToggle, position, waveform } = props
  const canvas = useRef<HTMLCanvasElement>(null)
  const width = useWidth()
  const scheme = useScheme()
  /** Position while dragging; releasing seeks. */
  const [dragged, setDragged] = useState<number>()
  const [pointed, setPointed] = useState<number>()
  const shown = Math.min(dragged ?? position, duration)
  useEffect(() => {
    if (canvas.current !== null) draw({ canvas: canvas.current, waveform, duration, position: shown })
  }, [waveform, duration, shown, width, scheme])

  const seek = (seconds: number) => {
    setDragged(undefined)
    onSeek(Math.max(0, Math.min(duration, seconds)))
  }
  const point = ({ clientX, pointerType }: PointerEvent) => {
    const box = canvas.current?.getBoundingClientRect()
    if (box === undefined || pointerType === "touch") return
    setPointed(duration * Math.max(0, Math.min(1, (clientX - box.left) / box.width)))
  }
  const line = dragged ?? pointed
  const lost = waveform?.lost ?? []
  return (
    <div class="waveform">
      <div class="stage">
        <canvas ref={canvas} aria-hidden="true" />
        {line !== undefined && (
          <div class="pointed" style={{ left: `${(100 * line) / Math.max(duration, 0.001)}%` }} aria-hidden="true">
            <span>{clock(line)}</span>
          </div>
        )}
        <input
          type="range"
          min={0}
          max={Math.max(duration, 0.001)}
          step="any"
          value={shown}
          aria-label={label}
          aria-valuetext={`${clock(shown)} of ${clock(duration)}${lost.length === 0 ? "" : `. ${lostWords(lost)}`}`}
          onInput={(event) => setDragged(event.currentTarget.valueAsNumber)}
          onChange={(event) => seek(event.currentTarget.valueAsNumber)}
          // A drag that ends where it began fires no change event.
          onBlur={() => setDragged(undefined)}
          onPointerUp={() => setTimeout(() => setDragged(undefined))}
          onPointerMove={point}
          onPointerLeave={() => setPointed(undefined)}
          onKeyDown={(event) => {
            const by = keys[event.key]
            const toggles = event.key === " " || event.key === "k"
            if ((by === undefined && !toggles) || event.ctrlKey || event.metaKey || event.altKey) return
            event.preventDefault()
            if (by === undefined) onToggle()
            else seek(shown + by)
          }}
        />
      </div>
      <div class="times">
        <span>{clock(shown)}</span>
        {lost.length > 0 && <span class="lost-words">{lostWords(lost)}</span>}
        <span>{isLive ? `${clock(duration)}, live` : clock(duration)}</span>
      </div>
    </div>
  )
}
