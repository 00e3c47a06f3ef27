/** A delivery in the log; open, it shows its attempts. Heads and bodies are shown as text. */
import { moment } from "../Format.ts"
import * as Log from "./Log.ts"
import type { Attempt, Delivery, Details } from "./Model.ts"
import { attemptTitle, deliveryStatus } from "./Wording.ts"

const Text = ({ text, title }: { readonly title: string; readonly text: string | null }) =>
  text === null || text === "" ? null : (
    <details>
      <summary>{title}</summary>
      <pre class="text" tabIndex={0} role="region" aria-label={title}>
        {text}
      </pre>
    </details>
  )

const AttemptCard = ({ attempt }: { readonly attempt: Attempt }) => {
  const name = `of attempt ${attempt.number}`
  return (
    <li>
      <h5>{attemptTitle(attempt)}</h5>
      {attempt.error !== null && <p class="error">{attempt.error}</p>}
      <Text title={`Request ${name}`} text={attempt.request} />
      <Text title={`Response ${name}`} text={attempt.response} />
      <Text title={`Body of the response ${name}, 64 KiB at most`} text={attempt.body} />
    </li>
  )
}

const Attempts = ({ attempts, delivery, payload }: Details) => (
  <>
    {attempts.length === 0 && (
      <p class="hint">
        {delivery.attempts === 0 ? "It has not been attempted yet." : "The attempts are no longer kept."}
      </p>
    )}
    <ol class="attempts">
      {attempts.toReversed().map((attempt) => (
        <AttemptCard key={attempt.number} attempt={attempt} />
      ))}
    </ol>
    {attempts.length < delivery.attempts && attempts.length > 0 && (
      <p class="hint">These are the latest of {delivery.attempts} attempts.</p>
    )}
    {payload === null ? (
      <p class="hint">The payload is encrypted, or no longer kept.</p>
    ) : (
      <Text title="Payload" text={payload} />
    )}
  </>
)

export function DeliveryRow({
  canReplay,
  delivery,
  details,
  isOpen
}: {
  readonly delivery: Delivery
  readonly isOpen: boolean
  /** Undefined until they are read. */
  readonly details: Details | undefined
  readonly canReplay: boolean
}) {
  const { created_at: at, event_id: event, type } = delivery
  const { kind, reason, title } = deliveryStatus(delivery)
  return (
    <li>
      <button
        type="button"
        class="delivery"
        aria-expanded={isOpen}
        aria-controls={`attempts-${event}`}
        onClick={() => void Log.toggle(delivery)}
      >
        <span class="at">{moment(at)}</span>
        <code>{type}</code>
        <span class={`chip ${kind}`}>{title}</span>
        <span class="hint">{reason}</span>
      </button>
      <div id={`attempts-${event}`} class="opened" hidden={!isOpen}>
        {isOpen && (
          <>
            <div class="row">
              <code class="value">{event}</code>
              <button type="button" class="quiet" disabled={!canReplay} onClick={() => void Log.replay(delivery)}>
                Replay
              </button>
            </div>
            {details === undefined ? <p class="hint">Waiting for the server …</p> : <Attempts {...details} />}
          </>
        )}
      </div>
    </li>
  )
}
