/** Asks for the key. */
import { useEffect, useRef, useState } from "preact/hooks"
import { enter } from "./Session.ts"

export const KeyForm = ({ refused }: { readonly refused: boolean }) => {
  const [text, setText] = useState("")
  const field = useRef<HTMLInputElement>(null)
  useEffect(() => field.current?.focus(), [])
  return (
    <form
      class="card key-form"
      onSubmit={(event) => {
        event.preventDefault()
        if (text.trim() !== "") enter(text.trim())
      }}
    >
      <h2>{refused ? "The server no longer takes this key" : "Enter your key"}</h2>
      {refused ? (
        <p role="alert">It is unknown, expired or revoked. Enter another: nothing that was recorded here is lost.</p>
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
