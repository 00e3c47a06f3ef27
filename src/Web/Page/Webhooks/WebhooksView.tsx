/** The webhooks of the key's user: list, form, new secrets, and code that verifies requests. */
import { ManagedView } from "../Manage/ManagedView.tsx"
import { SecretCard } from "../Manage/SecretCard.tsx"
import { useStore } from "../Store.ts"
import { VerifyCard } from "./VerifyCard.tsx"
import { WebhookCard } from "./WebhookCard.tsx"
import { WebhookForm } from "./WebhookForm.tsx"
import * as Webhooks from "./Webhooks.ts"
import { blank } from "./Wording.ts"

const NewSecret = ({ shown }: { readonly shown: Webhooks.ShownSecret }) => {
  const { isRotated, public_key: publicKey, secret, webhook } = shown
  return (
    <SecretCard
      title={`${isRotated ? "The new secret" : "The secret"} of ${webhook.url}`}
      secret={secret}
      copyLabel="Copy secret"
      onDone={() => {
        Webhooks.dismissSecret()
        document.getElementById("webhooks-title")?.focus()
      }}
    >
      <p>
        {isRotated ? "The former secret also signs for 24 hours, so that receivers can change at any time. " : ""}
        Copy it now: it is not shown again.
      </p>
      <code class="value">{secret}</code>
      {publicKey !== null && (
        <p>
          Public key, which verifies signatures: <code class="value">{publicKey}</code>
        </p>
      )}
    </SecretCard>
  )
}

export function WebhooksView() {
  const { done, entries, isAdmin, log, message, problem, secret, types } = useStore(Webhooks.webhooks)
  return (
    <ManagedView
      name="webhooks"
      title="Webhooks"
      createLabel="Create a webhook"
      formLabel="New webhook"
      form={(onClose) => (
        <WebhookForm
          label="Create"
          initial={blank}
          types={types}
          canBeGlobal={isAdmin === true}
          onSubmit={Webhooks.create}
          onClose={onClose}
        />
      )}
      count={entries?.length}
      emptyHint="A webhook is an endpoint of yours that receives a signed request for each event: a conversation has begun or finished, a transcript has changed. There is none yet."
      outcome={{ done, message, problem }}
      secret={secret !== undefined && <NewSecret shown={secret} />}
      follow={Webhooks.follow}
    >
      {entries?.map((entry) => (
        <WebhookCard key={entry.webhook.id} entry={entry} types={types} isLogShown={log === entry.webhook.id} />
      ))}
      <VerifyCard />
    </ManagedView>
  )
}
