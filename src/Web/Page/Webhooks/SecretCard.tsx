/** A new secret, which the server returns only once. */
import { useEffect, useRef } from "preact/hooks"
import { CopyButton } from "../List/CopyButton.tsx"
import * as Webhooks from "./Webhooks.ts"

export function SecretCard({ shown }: { readonly shown: Webhooks.ShownSecret }) {
  const { isRotated, public_key: publicKey, secret, webhook } = shown
  const title = useRef<HTMLHeadingElement>(null)
  useEffect(() => title.current?.focus(), [secret])
  return (
    <section class="card new-secret" aria-labelledby="secret-title">
      <h3 id="secret-title" ref={title} tabIndex={-1}>
        {isRotated ? "The new secret" : "The secret"} of {webhook.url}
      </h3>
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
      <div class="row">
        <CopyButton label="Copy secret" text={() => Promise.resolve(secret)} />
        <button
          type="button"
          class="quiet"
          onClick={() => {
            Webhooks.dismissSecret()
            document.getElementById("webhooks-title")?.focus()
          }}
        >
          Done
        </button>
      </div>
    </section>
  )
}
