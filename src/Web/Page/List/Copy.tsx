/** A button that copies a text and says that it did; `hint` is what one has to know to use it. */
import { useState } from "preact/hooks"

const shownMillis = 2_000
/** To read a hint. */
const hintedMillis = 12_000

export function Copy(props: { readonly label: string; readonly text: string; readonly hint?: string }) {
  const { hint, label, text } = props
  const [words, setWords] = useState("")
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text)
      setWords("Copied")
    } catch {
      setWords("Not allowed by the browser")
    }
    setTimeout(() => setWords(""), hint === undefined ? shownMillis : hintedMillis)
  }
  return (
    <>
      <button type="button" class="quiet" title={text} onClick={() => void copy()}>
        <span aria-live="polite">{words === "" ? label : words}</span>
      </button>
      {hint !== undefined && (
        <span class="hint copied" role="status">
          {words === "Copied" && hint}
        </span>
      )}
    </>
  )
}
