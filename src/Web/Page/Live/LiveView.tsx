/** The live view: problems, charts, captures, bounds and deletions. */
import { DeletionsPanel } from "../Deletions/DeletionsPanel.tsx"
import { slowUploadSeconds, type Trouble, troublesOf } from "./Alarm.ts"
import { Charts, nearlyFull, rate, seconds, slowAckSeconds } from "./Charts.tsx"
import { historySeconds, live, type Moment } from "./Live.ts"
import type { Bound, Capture, Node } from "../Model.ts"
import { useStore } from "../Store.ts"
import { bytes, count, time } from "../Format.ts"

const manyQueued = 5

const wrongWith = ({
  ack_lag,
  deferred,
  dropped_segments: dropped,
  queued,
  upload_lag
}: Capture): ReadonlyArray<string> => [
  ...(deferred > 0 ? [`${count(deferred)} chunks deferred`] : []),
  ...(ack_lag > slowAckSeconds ? ["acknowledged late"] : []),
  ...(upload_lag > slowUploadSeconds ? ["the store is behind"] : []),
  ...(queued > manyQueued ? ["chunks wait"] : []),
  ...(dropped > 0 ? [`${count(dropped)} transcript segments dropped`] : [])
]

const Troubles = ({ troubles }: { readonly troubles: ReadonlyArray<Trouble> }) => {
  if (troubles.length === 0) {
    return <p class="well">No problems: nothing was lost, deferred or rejected since the start.</p>
  }
  return (
    <section class={troubles.some(({ isNow }) => isNow) ? "troubles now" : "troubles"} aria-labelledby="troubles-title">
      <h3 id="troubles-title">Problems</h3>
      <ul>
        {troubles.map(({ advice, isNow, title }) => (
          <li key={title.replace(/^[\d,]+ /, "")}>
            <strong>{title}</strong>
            {isNow && <span class="chip bad">now</span>}
            <p>{advice}</p>
          </li>
        ))}
      </ul>
    </section>
  )
}

interface Column {
  readonly title: string
  readonly isNumber: boolean
  readonly of: (capture: Capture) => string
}

const columns: ReadonlyArray<Column> = [
  { title: "User", isNumber: false, of: ({ uid }) => uid },
  { title: "Rate", isNumber: true, of: (capture) => rate(capture.bytes_per_second) },
  { title: "Received", isNumber: true, of: (capture) => bytes(capture.bytes) },
  { title: "Ack lag", isNumber: true, of: (capture) => seconds(capture.ack_lag) },
  { title: "Upload lag", isNumber: true, of: (capture) => seconds(capture.upload_lag) },
  { title: "Queued", isNumber: true, of: ({ queued }) => count(queued) },
  { title: "Deferred", isNumber: true, of: ({ deferred }) => count(deferred) },
  {
    title: "Problems",
    isNumber: false,
    of: (capture) => (wrongWith(capture).length > 0 ? `⚠ ${wrongWith(capture).join(", ")}` : "none")
  }
]

const Captures = ({ captures, total }: { readonly captures: ReadonlyArray<Capture>; readonly total: number }) => {
  if (captures.length === 0) return <p class="hint">Nothing is being recorded now.</p>
  const sorted = [...captures].sort((a, b) => wrongWith(b).length - wrongWith(a).length || a.id - b.id)
  return (
    <div class="scroll" role="region" aria-label="Captures" tabIndex={0}>
      <table class="captures">
        <caption>
          {total > captures.length ? `${captures.length} of ${count(total)}, those with problems first` : ""}
        </caption>
        <thead>
          <tr>
            <th scope="col">Conversation</th>
            {columns.map(({ isNumber, title }) => (
              <th key={title} scope="col" class={isNumber ? "number" : ""}>
                {title}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {sorted.map((capture) => (
            <tr key={capture.id} class={wrongWith(capture).length > 0 ? "bad" : ""}>
              <th scope="row">{capture.conversation ?? "none yet"}</th>
              {columns.map(({ isNumber, of, title }) => (
                <td key={title} class={isNumber ? "number" : ""} data-title={title}>
                  {of(capture)}
                </td>
              ))}
            </tr>
          ))}
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
      <td class="bar">
        <div class="use" aria-hidden="true">
          <div style={{ width: `${Math.max(share * 100, used > 0 ? 1 : 0)}%` }} />
        </div>
      </td>
      <td class="number">
        {show(used)} of {show(limit)}
      </td>
      <td class={waiting > 0 ? "number" : "number none"}>
        {waiting > 0 ? `⚠ ${count(waiting)} waiting` : "none waiting"}
      </td>
    </tr>
  )
}

const Bounds = ({ bounds }: { readonly bounds: ReadonlyArray<Bound> }) => (
  <section class="card" aria-labelledby="bounds-title">
    <h3 id="bounds-title">Bounds</h3>
    <table class="bounds">
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
        {bounds.map((bound) => (
          <BoundRow key={bound.name} bound={bound} />
        ))}
      </tbody>
    </table>
  </section>
)

/** What a store charges for, by the hour of audio, so that nodes and chunk lengths can be compared. */
const StoreUse = ({ store }: { readonly store: Node["store"] }) => {
  const { audio_seconds: seconds, class_a: writes, class_b: reads, read_bytes: read, written_bytes: written } = store
  const hours = seconds / 3600
  const perHour = (value: number) => (hours > 0 ? (value / hours).toFixed(1) : "–")
  const rows = [
    { name: "Writes and lists (class A)", total: count(writes), hourly: perHour(writes) },
    { name: "Reads (class B)", total: count(reads), hourly: perHour(reads) },
    { name: "Written", total: bytes(written), hourly: hours > 0 ? bytes(written / hours) : "–" },
    { name: "Read", total: bytes(read), hourly: hours > 0 ? bytes(read / hours) : "–" }
  ]
  return (
    <section class="card" aria-labelledby="store-title">
      <h3 id="store-title">Object store</h3>
      <table class="bounds">
        <caption>Since the start, with {hours.toFixed(1)} hours of audio stored</caption>
        <thead>
          <tr>
            <th scope="col">Use</th>
            <th scope="col" class="number">
              Total
            </th>
            <th scope="col" class="number">
              For an hour of audio
            </th>
          </tr>
        </thead>
        <tbody>
          {rows.map(({ hourly, name, total }) => (
            <tr key={name}>
              <th scope="row">{name}</th>
              <td class="number">{total}</td>
              <td class="number">{hourly}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  )
}

/** Tells when the page has less history than the charts span. */
const since = ([first]: ReadonlyArray<Moment>, last: Moment | undefined): string =>
  first === undefined || last === undefined || last.at - first.at > historySeconds - 60
    ? "The last 15 minutes"
    : `The last 15 minutes, since this page was opened at ${time(first.at * 1000)}`

export function LiveView() {
  const state = useStore(live)
  const { history, now } = state
  return (
    <div class="live-view">
      <h2 id="live-title" tabIndex={-1}>
        Live view
      </h2>
      {now === undefined ? (
        <p class="hint">Waiting for the server …</p>
      ) : (
        <>
          {now.node !== null && <Troubles troubles={troublesOf(state)} />}
          <div class="charts-of">
            <p class="hint">{since(history, history.at(-1))}</p>
            <Charts history={history} node={now.node} />
          </div>
          <section class="card" aria-labelledby="captures-title">
            <h3 id="captures-title">
              Captures <span class="count">{count(now.total)}</span>
            </h3>
            <Captures captures={now.captures} total={now.total} />
          </section>
          {now.node === null ? (
            <p class="hint">A key with the scope admin or service also sees the bounds of the node.</p>
          ) : (
            <>
              <Bounds bounds={now.node.bounds} />
              <StoreUse store={now.node.store} />
              <DeletionsPanel />
            </>
          )}
        </>
      )}
    </div>
  )
}
