/** The log of a webhook: filters, a page of deliveries, and the replay of a range. */
import { useEffect, useRef } from "preact/hooks"
import { Outcome } from "../Outcome.tsx"
import { useStore } from "../Store.ts"
import { DeliveryRow } from "./DeliveryRow.tsx"
import * as Log from "./Log.ts"
import type { Webhook } from "./Model.ts"
import { ReplayRange } from "./ReplayRange.tsx"
import { isActive, states } from "./Wording.ts"

const Choice = ({
  id,
  label,
  onChange,
  options,
  value
}: {
  readonly id: string
  readonly label: string
  readonly options: ReadonlyArray<readonly [value: string, title: string]>
  readonly value: string
  readonly onChange: (value: string) => void
}) => (
  <p>
    <label for={id}>{label}</label>
    <select id={id} value={value} onChange={(event) => onChange(event.currentTarget.value)}>
      <option value="">All</option>
      {options.map(([value, title]) => (
        <option key={value} value={value}>
          {title}
        </option>
      ))}
    </select>
  </p>
)

const emptyMessage = ({ before, filter, next }: Log.Log): string => {
  if (next !== null) return "None of the deliveries on this page has this type. There are older ones."
  if (before !== undefined) return "There are no older deliveries."
  return filter.state === "" && filter.type === "" ? "Nothing has been sent yet." : "There is no such delivery."
}

const Page = ({ canReplay, log }: { readonly log: Log.Log; readonly canReplay: boolean }) => {
  const { before, deliveries, details, filter, next, open } = log
  const title = useRef<HTMLHeadingElement>(null)
  /** The button that was pressed can be gone. */
  const turn = (to?: string) => {
    void Log.show(filter, to)
    title.current?.focus()
  }
  return (
    <>
      <h4 ref={title} tabIndex={-1}>
        Deliveries
      </h4>
      {deliveries === undefined && <p class="hint">Waiting for the server …</p>}
      {deliveries?.length === 0 && <p class="hint">{emptyMessage(log)}</p>}
      <ol class="deliveries">
        {deliveries?.map((delivery) => (
          <DeliveryRow
            key={delivery.event_id}
            delivery={delivery}
            isOpen={delivery.event_id === open}
            details={delivery.event_id === open ? details : undefined}
            canReplay={canReplay}
          />
        ))}
      </ol>
      <div class="row">
        {before !== undefined && (
          <button type="button" class="quiet" onClick={() => turn()}>
            Newest
          </button>
        )}
        {next !== null && (
          <button type="button" class="quiet" onClick={() => turn(next)}>
            Older
          </button>
        )}
      </div>
    </>
  )
}

export function LogPanel({ types, webhook }: { readonly webhook: Webhook; readonly types: ReadonlyArray<string> }) {
  const log = useStore(Log.log)
  useEffect(() => {
    const stop = new AbortController()
    void Log.follow(webhook.id, stop.signal)
    return () => stop.abort()
  }, [webhook.id])
  const { done, filter, message, problem } = log
  const canReplay = isActive(webhook)
  return (
    <div class="log">
      <div class="row">
        <Choice
          id="log-state"
          label="State"
          value={filter.state}
          options={states}
          onChange={(state) => void Log.show({ ...filter, state })}
        />
        <Choice
          id="log-type"
          label="Type"
          value={filter.type}
          options={types.map((type) => [type, type])}
          onChange={(type) => void Log.show({ ...filter, type })}
        />
      </div>
      <ReplayRange canReplay={canReplay} />
      <Outcome done={done} problem={problem} message={message} />
      <Page log={log} canReplay={canReplay} />
    </div>
  )
}
