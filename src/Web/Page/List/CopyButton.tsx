/** Button that copies a text and confirms it. `hint` explains how to use the text. */
import { useState } from "preact/hooks"

const shownMillis = 2_000
/** Time to read a hint. */
const hintedMillis = 12_000

export function CopyButton(props: { readonly label: string; readonly text: string; readonly hint?: string }) {
  const { hint, label, text } = props
  const [message, setMessage] = useState("")
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text)
      setMessage("Copied")
    } catch {
      setMessage("Not allowed by the browser")
    }
    setTimeout(() => setMessage(""), hint === undefined ? shownMillis : hintedMillis)
  }
  return (
    <>
      <button type="button" class="quiet" title={text} onClick={() => void copy()}>
        <span aria-live="polite">{message === "" ? label : message}</span>
      </button>
      {hint !== undefined && (
        <span class="hint copied" role="status">
          {message === "Copied" && hint}
        </span>
      )}
    </>
  )
}
