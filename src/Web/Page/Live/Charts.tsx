/** Charts of the server's last 15 minutes. */
import { Chart } from "./Chart.tsx"
import { historySeconds, type Moment } from "./Live.ts"
import type { Node } from "../Model.ts"
import { bytes, count, duration } from "../Format.ts"

/** Thresholds above which a value is highlighted. */
export const slowAckSeconds = 3
const manyChunks = 10
export const nearlyFull = 0.7

export function rate(value: number): string {
  return `${bytes(value)}/s`
}
export function seconds(value: number): string {
  return duration(Math.max(0, value))
}

interface Tile {
  readonly title: string
  readonly of: (moment: Moment) => number
  readonly format: (value: number) => string
  readonly limit: number
  /** Least upper end of the axis. */
  readonly top: number
  readonly isWhole?: boolean
}

const tiles: ReadonlyArray<Tile> = [
  { title: "Audio received", of: (m) => m.bytesPerSecond, format: rate, limit: Infinity, top: 1_000 },
  { title: "Slowest acknowledgement", of: (m) => m.ackLag, format: seconds, limit: slowAckSeconds, top: 1 },
  {
    title: "Chunks waiting for upload",
    of: (m) => m.queued,
    format: count,
    limit: manyChunks,
    top: 4,
    isWhole: true
  },
  { title: "Captures", of: (m) => m.captures, format: count, limit: Infinity, top: 4, isWhole: true }
]

const memory: Tile = {
  title: "Memory of the process",
  of: (m) => m.memory,
  format: bytes,
  limit: Infinity,
  top: 1_000_000
}

const journal: Omit<Tile, "limit" | "top"> = { title: "Journal", of: (m) => m.journal, format: bytes }

export function Charts(props: { readonly history: ReadonlyArray<Moment>; readonly node: Node | null }) {
  const { history, node } = props
  const times = history.map(({ at }) => at)
  const last = history.at(-1)
  const budget = node?.bounds.find(({ name }) => name === "journal")?.limit
  const draw = ({ format, isWhole = false, limit, of, title, top }: Tile, isBound = false) => {
    const now = last === undefined ? 0 : of(last)
    return (
      <Chart
        key={title}
        title={title}
        now={isBound ? `${format(now)} of ${format(top)}` : format(now)}
        times={times}
        values={history.map(of)}
        format={format}
        span={historySeconds}
        isBad={now > limit}
        top={top}
        isBound={isBound}
        isWhole={isWhole}
      />
    )
  }
  return (
    <div class="charts">
      {tiles.map((tile) => draw(tile))}
      {budget !== undefined && draw({ ...journal, limit: nearlyFull * budget, top: budget }, true)}
      {node !== null && draw(memory)}
    </div>
  )
}
