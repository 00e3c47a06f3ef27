/** A small chart of the last 15 minutes. */
import { useEffect, useRef } from "preact/hooks"
import UPlot from "uplot"
import { useScheme } from "./Scheme.ts"

const height = 104
/** At first. */
const shortestSeconds = 120

export const Chart = (props: {
  readonly title: string
  readonly now: string
  readonly times: ReadonlyArray<number>
  readonly values: ReadonlyArray<number>
  readonly format: (value: number) => string
  readonly span: number
  readonly isBad: boolean
}) => {
  const { format, isBad, now, span, times, title, values } = props
  const place = useRef<HTMLDivElement>(null)
  const plot = useRef<UPlot>(undefined)
  const scheme = useScheme()
  useEffect(() => {
    const { current } = place
    if (current === null) return undefined
    const style = getComputedStyle(current)
    const line = style.getPropertyValue("--wave-strong")
    const text = style.getPropertyValue("--muted")
    const grid = { stroke: style.getPropertyValue("--line"), width: 1 }
    const axis = { stroke: text, grid, ticks: grid, font: "11px system-ui, sans-serif" }
    const made = new UPlot(
      {
        width: current.clientWidth,
        height,
        legend: { show: false },
        cursor: { show: false },
        padding: [6, 4, 0, 0],
        scales: {
          x: { range: (_, min, max) => [max - Math.min(span, Math.max(shortestSeconds, max - min)), max] },
          y: { range: (_, __, max) => [0, Math.max(1, max * 1.15)] }
        },
        axes: [
          { ...axis, size: 30, space: 70 },
          { ...axis, size: 64, space: 30, values: (_, splits) => splits.map(format) }
        ],
        series: [{}, { stroke: line, width: 1.5, fill: style.getPropertyValue("--wave-soft"), points: { show: false } }]
      },
      [[], []],
      current
    )
    plot.current = made
    const resize = new ResizeObserver(() => made.setSize({ width: current.clientWidth, height }))
    resize.observe(current)
    return () => {
      resize.disconnect()
      made.destroy()
      plot.current = undefined
    }
  }, [scheme])
  useEffect(() => plot.current?.setData([[...times], [...values]]), [times, values, scheme])
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
