/** The webhooks of the key's user: list, form, new secrets, and code that verifies requests. */
import { useEffect, useRef, useState } from "preact/hooks"
import { useStore } from "../Store.ts"
import { SecretCard } from "./SecretCard.tsx"
import { VerifyCard } from "./VerifyCard.tsx"
import { WebhookCard } from "./WebhookCard.tsx"
import { WebhookForm } from "./WebhookForm.tsx"
import * as Webhooks from "./Webhooks.ts"
import { blank } from "./Wording.ts"

export function WebhooksView() {
  const { done, entries, isAdmin, log, message, problem, secret, types } = useStore(Webhooks.webhooks)
  const [isCreating, setCreating] = useState(false)
  const title = useRef<HTMLHeadingElement>(null)
  useEffect(() => {
    const stop = new AbortController()
    title.current?.focus()
    void Webhooks.follow(stop.signal)
    return () => stop.abort()
  }, [])
  return (
    <div class="webhooks">
      <div class="row">
        <h2 id="webhooks-title" ref={title} tabIndex={-1}>
          Webhooks
        </h2>
        {entries !== undefined && !isCreating && (
          <button type="button" class="primary" onClick={() => setCreating(true)}>
            Create a webhook
          </button>
        )}
      </div>
      <div role="status">{done !== "" && <p class="hint">{done}</p>}</div>
      <div role="alert">
        {problem !== "" && <p class="problem">{problem}</p>}
        {message !== "" && <p class="problem">{message}</p>}
      </div>
      {secret !== undefined && <SecretCard shown={secret} />}
      {isCreating && (
        <section class="card" aria-label="New webhook">
          <WebhookForm
            label="Create"
            initial={blank}
            types={types}
            canBeGlobal={isAdmin === true}
            onSubmit={Webhooks.create}
            onClose={(isDone) => {
              setCreating(false)
              // The secret takes the focus.
              if (!isDone) title.current?.focus()
            }}
          />
        </section>
      )}
      {entries === undefined && message === "" && <p class="hint">Waiting for the server …</p>}
      {entries?.length === 0 && !isCreating && (
        <p class="hint">
          A webhook is an endpoint of yours that receives a signed request for each event: a conversation has begun or
          finished, a transcript has changed. There is none yet.
        </p>
      )}
      {entries?.map((entry) => (
        <WebhookCard key={entry.webhook.id} entry={entry} types={types} isLogShown={log === entry.webhook.id} />
      ))}
      <VerifyCard />
    </div>
  )
}
