/** A line chart of the last minutes or days. */
import { useEffect, useRef, useState } from "preact/hooks"
import UPlot from "uplot"
import { useScheme } from "../Scheme.ts"
import { time } from "../Format.ts"

const height = 104
/** Height of a narrow chart, which shows the line only. */
const smallHeight = 44
const smallPixels = 220
/** Distance of the time axis's ticks. */
const defaultTickSeconds = 5 * 60
const wholeSteps = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000]

const ticksOf = (tickSeconds: number, min: number, max: number): Array<number> => {
  const first = Math.ceil(min / tickSeconds) * tickSeconds
  return Array.from({ length: Math.floor((max - first) / tickSeconds) + 1 }, (_, index) => first + index * tickSeconds)
}

export interface ChartProps {
  readonly title: string
  readonly now: string
  readonly times: ReadonlyArray<number>
  readonly values: ReadonlyArray<number>
  readonly format: (value: number) => string
  readonly span: number
  readonly isBad: boolean
  /** Upper end of the axis: a bound, or the least value. */
  readonly top: number
  readonly isBound: boolean
  readonly isWhole: boolean
  readonly tickSeconds?: number
  /** Writes unix milliseconds on the time axis. */
  readonly formatTime?: (at: number) => string
}

export function Chart(props: ChartProps) {
  const { format, isBad, isBound, isWhole, now, span, times, title, top, values } = props
  const { formatTime = time, tickSeconds = defaultTickSeconds } = props
  const place = useRef<HTMLDivElement>(null)
  const plot = useRef<UPlot>(undefined)
  const scheme = useScheme()
  const [isSmall, setSmall] = useState(false)
  useEffect(() => {
    const { current } = place
    if (current === null) return undefined
    const style = getComputedStyle(current)
    const grid = { stroke: style.getPropertyValue("--line"), width: 1 }
    const axis = {
      stroke: style.getPropertyValue("--muted"),
      grid,
      ticks: grid,
      show: !isSmall,
      font: "11px system-ui, sans-serif"
    }
    const size = () => ({ width: current.clientWidth, height: isSmall ? smallHeight : height })
    const made = new UPlot(
      {
        ...size(),
        legend: { show: false },
        cursor: { show: false },
        // Room for the half of a time label that extends beyond the edge.
        padding: [8, isSmall ? 2 : 18, isSmall ? 2 : 0, isSmall ? 2 : 0],
        scales: {
          x: { range: (_, __, max) => [max - span, max] },
          y: { range: (_, __, max) => [0, isBound ? top : Math.max(top, (max ?? 0) * 1.15)] }
        },
        axes: [
          {
            ...axis,
            size: 30,
            splits: (_, __, min, max) => ticksOf(tickSeconds, min, max),
            values: (_, splits) => splits.map((at) => formatTime(at * 1000))
          },
          {
            ...axis,
            size: 64,
            space: 28,
            ...(isWhole ? { incrs: wholeSteps } : {}),
            values: (_, splits) => splits.map(format)
          }
        ],
        series: [
          {},
          {
            stroke: style.getPropertyValue(isBad ? "--bad" : "--wave-strong"),
            width: 1.5,
            fill: style.getPropertyValue("--wave-soft"),
            points: { show: false }
          }
        ]
      },
      [[...times], [...values]],
      current
    )
    plot.current = made
    const resize = new ResizeObserver(() => {
      setSmall(current.clientWidth < smallPixels)
      made.setSize(size())
    })
    resize.observe(current)
    return () => {
      resize.disconnect()
      made.destroy()
      plot.current = undefined
    }
  }, [scheme, isSmall, isBad, top])
  useEffect(() => plot.current?.setData([[...times], [...values]]), [times, values])
  return (
    <figure class={isBad ? "chart bad" : "chart"}>
      <figcaption>
        <span>{title}</span>
        <strong>{now}</strong>
      </figcaption>
      <div ref={place} aria-hidden="true" />
    </figure>
  )
}
