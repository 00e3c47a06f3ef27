/** A button that copies a text and says that it did. */
import { useState } from "preact/hooks"

const shownMillis = 2_000

export const Copy = ({ label, text }: { readonly label: string; readonly text: string }) => {
  const [words, setWords] = useState("")
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text)
      setWords("Copied")
    } catch {
      setWords("Not allowed by the browser")
    }
    setTimeout(() => setWords(""), shownMillis)
  }
  return (
    <button type="button" class="quiet" title={text} onClick={() => void copy()}>
      <span aria-live="polite">{words === "" ? label : words}</span>
    </button>
  )
}
