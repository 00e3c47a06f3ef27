/** A webhook with its state, what can be done to it, and its log. */
import { useState } from "preact/hooks"
import { moment } from "../Format.ts"
import { Confirm } from "../Manage/Confirm.tsx"
import { LogPanel } from "./LogPanel.tsx"
import type { Health } from "./Model.ts"
import { WebhookForm } from "./WebhookForm.tsx"
import * as Webhooks from "./Webhooks.ts"
import { fieldsOf, isActive, latency, pending, percent, statusOf, typesOf } from "./Wording.ts"

const Figures = ({ health }: { readonly health: Health }) => (
  <dl class="figures">
    <div>
      <dt>Delivered</dt>
      <dd>{health.success_rate === null ? "–" : percent(health.success_rate)}</dd>
    </div>
    <div>
      <dt>Latency</dt>
      <dd>{latency(health)}</dd>
    </div>
    <div>
      <dt>Pending</dt>
      <dd>{pending(health.pending)}</dd>
    </div>
    <div>
      <dt>Next attempt</dt>
      <dd>{health.pending === 0 || health.next_attempt_at === null ? "–" : moment(health.next_attempt_at)}</dd>
    </div>
  </dl>
)

const Actions = ({
  entry: { webhook },
  isEditing,
  isLogShown,
  onEdit
}: {
  readonly entry: Webhooks.Entry
  readonly isLogShown: boolean
  readonly isEditing: boolean
  readonly onEdit: () => void
}) => {
  const { id, url } = webhook
  const active = isActive(webhook)
  const remove = async () => {
    if (await Webhooks.remove(webhook)) document.getElementById("webhooks-title")?.focus()
  }
  return (
    <div class="row">
      <button
        type="button"
        class={isLogShown ? "quiet on" : "quiet"}
        aria-expanded={isLogShown}
        aria-label={`Deliveries of ${url}`}
        onClick={() => Webhooks.showLog(isLogShown ? undefined : id)}
      >
        Deliveries
      </button>
      <button
        type="button"
        class="quiet"
        disabled={!active}
        aria-label={`Send test to ${url}`}
        onClick={() => void Webhooks.sendTest(webhook)}
      >
        Send test
      </button>
      <button
        id={`edit-${id}`}
        type="button"
        class="quiet"
        aria-expanded={isEditing}
        aria-label={`Edit ${url}`}
        onClick={onEdit}
      >
        Edit
      </button>
      <button
        type="button"
        class="quiet"
        aria-label={`${active ? "Disable" : "Enable"} ${url}`}
        onClick={() => void Webhooks.setEnabled(webhook, !active)}
      >
        {active ? "Disable" : "Enable"}
      </button>
      <Confirm
        label="Rotate secret"
        name={`of ${url}`}
        question="Replace the secret? The present one also signs for 24 hours; one that was replaced before ends now."
        action="Replace it"
        onConfirm={() => void Webhooks.rotate(webhook)}
      />
      <Confirm
        label="Delete"
        name={url}
        question="Delete this webhook and its log? Pending deliveries are not sent."
        action="Delete it"
        onConfirm={() => void remove()}
      />
    </div>
  )
}

export function WebhookCard({
  entry,
  isLogShown,
  types
}: {
  readonly entry: Webhooks.Entry
  readonly isLogShown: boolean
  readonly types: ReadonlyArray<string>
}) {
  const [isEditing, setEditing] = useState(false)
  const { health, webhook } = entry
  const { kind, reason, title } = statusOf(webhook, health)
  const { description, id, rate, uid, url } = webhook
  return (
    <section class="card webhook" aria-labelledby={`webhook-${id}`}>
      <h3 id={`webhook-${id}`}>
        {url} <span class={`chip ${kind}`}>{title}</span> {uid === null && <span class="chip wait">All users</span>}
      </h3>
      {description !== "" && <p>{description}</p>}
      {reason !== "" && <p class={kind === "bad" ? "problem" : "hint"}>{reason}</p>}
      <p class="hint">
        {typesOf(webhook)}
        {rate !== null && `; at most ${rate} requests a second`}
      </p>
      {health !== undefined && <Figures health={health} />}
      <Actions entry={entry} isLogShown={isLogShown} isEditing={isEditing} onEdit={() => setEditing(!isEditing)} />
      {isEditing && (
        <WebhookForm
          label="Save changes"
          initial={fieldsOf(webhook)}
          types={types}
          canBeGlobal={false}
          onSubmit={(fields) => Webhooks.edit(webhook, fields)}
          onClose={() => {
            setEditing(false)
            document.getElementById(`edit-${id}`)?.focus()
          }}
        />
      )}
      {isLogShown && <LogPanel webhook={webhook} types={types} />}
    </section>
  )
}
