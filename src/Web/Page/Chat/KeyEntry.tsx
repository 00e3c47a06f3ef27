/** Takes the access key of a visitor. */
import { useState } from "preact/hooks"
import { session, signIn } from "../Session.ts"
import { useStore } from "../Store.ts"

/** `purpose` is what the key is for. */
export function KeyEntry({ purpose }: { readonly purpose: string }) {
  const { refused } = useStore(session)
  const [text, setText] = useState("")
  return (
    <form
      class="key-entry"
      onSubmit={(event) => {
        event.preventDefault()
        if (text.trim() !== "") signIn(text.trim())
      }}
    >
      <label for="visitor-key">{purpose}</label>
      <div class="row">
        <input
          id="visitor-key"
          type="password"
          autocomplete="off"
          spellcheck={false}
          placeholder="spw_…"
          value={text}
          aria-describedby="visitor-key-hint"
          onInput={(event) => setText(event.currentTarget.value)}
        />
        <button type="submit" class="quiet">
          Use key
        </button>
      </div>
      <p id="visitor-key-hint" class="hint">
        It is kept in this tab only, until the tab is closed.
      </p>
      <div role="alert">{refused !== undefined && <p class="problem">The server does not accept this key.</p>}</div>
    </form>
  )
}
