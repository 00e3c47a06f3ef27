/** What the node does now, and did in the last 15 minutes: captures, bounds, and whatever was dropped or deferred. */
import { Chart } from "./Chart.tsx"
import { historySeconds, live, type Moment } from "./Live.ts"
import type { Bound, Capture, Node } from "./Model.ts"
import { useStore } from "./Store.ts"
import { bytes, count, duration } from "./Words.ts"

/** Beyond these something is slow. */
const slowAckSeconds = 3
const slowUploadSeconds = 120
const nearlyFull = 0.7

const rate = (value: number) => `${bytes(value)}/s`
const seconds = (value: number) => duration(Math.max(0, value))

const charts = [
  { title: "Audio received", of: (m: Moment) => m.bytesPerSecond, format: rate, limit: Infinity },
  { title: "Slowest acknowledgement", of: (m: Moment) => m.ackLag, format: seconds, limit: slowAckSeconds },
  { title: "Chunks that wait for upload", of: (m: Moment) => m.queued, format: count, limit: 10 },
  { title: "Journal", of: (m: Moment) => m.journal, format: bytes, limit: Infinity },
  { title: "Memory of the process", of: (m: Moment) => m.memory, format: bytes, limit: Infinity }
] as const

const Charts = ({ history, hasNode }: { readonly history: ReadonlyArray<Moment>; readonly hasNode: boolean }) => {
  const times = history.map(({ at }) => at)
  const last = history.at(-1)
  return (
    <div class="charts">
      {charts.slice(0, hasNode ? charts.length : 3).map(({ format, limit, of, title }) => (
        <Chart
          key={title}
          title={title}
          now={last === undefined ? "" : format(of(last))}
          times={times}
          values={history.map(of)}
          format={format}
          span={historySeconds}
          isBad={last !== undefined && of(last) > limit}
        />
      ))}
    </div>
  )
}

const troublesOf = ({ ack_lag, deferred, queued, upload_lag }: Capture): ReadonlyArray<string> => [
  ...(deferred > 0 ? [`${count(deferred)} chunks deferred`] : []),
  ...(ack_lag > slowAckSeconds ? ["acknowledged late"] : []),
  ...(upload_lag > slowUploadSeconds ? ["the store is behind"] : []),
  ...(queued > 5 ? ["chunks wait"] : [])
]

const Captures = ({ captures, total }: { readonly captures: ReadonlyArray<Capture>; readonly total: number }) => {
  if (captures.length === 0) return <p class="hint">Nothing is being recorded now.</p>
  const sorted = [...captures].sort((a, b) => troublesOf(b).length - troublesOf(a).length || a.id - b.id)
  return (
    <div class="scroll" role="region" aria-label="Captures" tabIndex={0}>
      <table>
        <caption>
          {total > captures.length ? `${captures.length} of ${count(total)}, those with trouble first` : ""}
        </caption>
        <thead>
          <tr>
            <th scope="col">Conversation</th>
            <th scope="col">User</th>
            <th scope="col" class="number">
              Rate
            </th>
            <th scope="col" class="number">
              Received
            </th>
            <th scope="col" class="number">
              Ack lag
            </th>
            <th scope="col" class="number">
              Upload lag
            </th>
            <th scope="col" class="number">
              Queued
            </th>
            <th scope="col" class="number">
              Deferred
            </th>
            <th scope="col">Trouble</th>
          </tr>
        </thead>
        <tbody>
          {sorted.map((capture) => {
            const troubles = troublesOf(capture)
            return (
              <tr key={capture.id} class={troubles.length > 0 ? "bad" : ""}>
                <th scope="row">{capture.conversation ?? "none yet"}</th>
                <td>{capture.uid}</td>
                <td class="number">{rate(capture.bytes_per_second)}</td>
                <td class="number">{bytes(capture.bytes)}</td>
                <td class="number">{seconds(capture.ack_lag)}</td>
                <td class="number">{seconds(capture.upload_lag)}</td>
                <td class="number">{count(capture.queued)}</td>
                <td class="number">{count(capture.deferred)}</td>
                <td>{troubles.length > 0 ? `⚠ ${troubles.join(", ")}` : "none"}</td>
              </tr>
            )
          })}
        </tbody>
      </table>
    </div>
  )
}

const BoundRow = ({ bound }: { readonly bound: Bound }) => {
  const { limit, name, unit, used, waiting } = bound
  const show = unit === "bytes" ? bytes : count
  const share = Math.min(1, used / limit)
  const isBad = share >= nearlyFull || waiting > 0
  return (
    <tr class={isBad ? "bad" : ""}>
      <th scope="row">{name}</th>
      <td>
        <div class="use" aria-hidden="true">
          <div style={{ width: `${Math.max(share * 100, used > 0 ? 1 : 0)}%` }} />
        </div>
      </td>
      <td class="number">
        {show(used)} of {show(limit)}
      </td>
      <td class="number">{waiting > 0 ? `⚠ ${count(waiting)} wait` : "none waits"}</td>
    </tr>
  )
}

const NodeState = ({ node }: { readonly node: Node }) => {
  const troubles = node.troubles.filter(({ count }) => count > 0)
  return (
    <>
      {(troubles.length > 0 || node.failing.length > 0) && (
        <div class="card trouble" role="alert">
          <h3>What stands out</h3>
          <ul>
            {node.failing.map(({ name, reason }) => (
              <li key={name}>
                <strong>{name}</strong>: {reason}
              </li>
            ))}
            {troubles.map(({ count: times, name }) => (
              <li key={name}>
                <strong>{count(Math.round(times))}</strong> {name} since the start
              </li>
            ))}
          </ul>
        </div>
      )}
      <section class="card" aria-labelledby="bounds-title">
        <h3 id="bounds-title">Bounds</h3>
        <div class="scroll" role="region" aria-label="Bounds of the node" tabIndex={0}>
          <table>
            <thead>
              <tr>
                <th scope="col">Bound</th>
                <th scope="col">Use</th>
                <th scope="col" class="number">
                  In numbers
                </th>
                <th scope="col" class="number">
                  Waiting
                </th>
              </tr>
            </thead>
            <tbody>
              {node.bounds.map((bound) => (
                <BoundRow key={bound.name} bound={bound} />
              ))}
            </tbody>
          </table>
        </div>
      </section>
    </>
  )
}

export const LiveView = () => {
  const { history, now } = useStore(live)
  return (
    <div class="live-view">
      <h2>Live view</h2>
      {now === undefined ? (
        <p class="hint">Waiting for the server …</p>
      ) : (
        <>
          <Charts history={history} hasNode={now.node !== null} />
          <section class="card" aria-labelledby="captures-title">
            <h3 id="captures-title">
              Captures <span class="count">{count(now.total)}</span>
            </h3>
            <Captures captures={now.captures} total={now.total} />
          </section>
          {now.node === null ? (
            <p class="hint">A key with the scope admin or service also sees the bounds of the node.</p>
          ) : (
            <NodeState node={now.node} />
          )}
        </>
      )}
    </div>
  )
}
