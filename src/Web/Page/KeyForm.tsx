/** Form for the access key. */
import { useEffect, useRef, useState } from "preact/hooks"
import { signIn, type Refusal } from "./Session.ts"

const titles = { ended: "The server no longer accepts this key", unknown: "This key is not known" } as const
const reasons = {
  ended: "It has expired or was revoked. Enter another one: nothing recorded here is lost.",
  unknown: "The server does not accept it. Check that all of it was copied, and that it belongs to this server."
} as const

/** Moves focus to the title of the view that the key opened, for keyboards and screen readers. */
const focusView = () => (document.getElementById("live-title") ?? document.getElementById("list-title"))?.focus()

export function KeyForm({ refused }: { readonly refused: Refusal | undefined }) {
  const [text, setText] = useState("")
  const field = useRef<HTMLInputElement>(null)
  useEffect(() => field.current?.focus(), [])
  return (
    <form
      class="card key-form"
      onSubmit={(event) => {
        event.preventDefault()
        if (text.trim() === "") return
        signIn(text.trim())
        setTimeout(focusView)
      }}
    >
      <h2>{refused === undefined ? "Enter your key" : titles[refused]}</h2>
      {refused !== undefined ? (
        <p role="alert">{reasons[refused]}</p>
      ) : (
        <p>
          The link that <code>npm start</code> prints the first time has the admin's key in it. Later it is in{" "}
          <code>data/admin-key</code> on the server's machine.
        </p>
      )}
      <label for="key">Key</label>
      <div class="row">
        <input
          id="key"
          ref={field}
          type="password"
          autocomplete="off"
          spellcheck={false}
          placeholder="spw_…"
          value={text}
          onInput={(event) => setText(event.currentTarget.value)}
        />
        <button type="submit" class="primary">
          Continue
        </button>
      </div>
      <p class="hint">It is kept in this tab only, until the tab is closed.</p>
    </form>
  )
}
