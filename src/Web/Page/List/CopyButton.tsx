/** Button that copies a text and confirms it. `hint` explains how to use the text. */
import { useState } from "preact/hooks"
import { messageFor } from "../Server.ts"

const shownMillis = 2_000
/** Time to read a hint. */
const hintedMillis = 12_000

export function CopyButton(props: {
  readonly label: string
  readonly text: string | (() => Promise<string>)
  readonly hint?: string
}) {
  const { hint, label, text } = props
  const [message, setMessage] = useState("")
  const copy = async () => {
    try {
      const copied = typeof text === "string" ? text : await text()
      const isAllowed = await navigator.clipboard.writeText(copied).then(
        () => true,
        () => false
      )
      setMessage(isAllowed ? "Copied" : "Not allowed by the browser")
    } catch (cause) {
      setMessage(messageFor(cause))
    }
    setTimeout(() => setMessage(""), hint === undefined ? shownMillis : hintedMillis)
  }
  return (
    <>
      <button
        type="button"
        class="quiet"
        title={typeof text === "string" ? text : undefined}
        onClick={() => void copy()}
      >
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
