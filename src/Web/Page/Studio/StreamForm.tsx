/** Form that creates or changes a stream. */
import { useEffect, useRef, useState } from "preact/hooks"
import { messageFor, type Mistake, Refused } from "../Server.ts"
import type { Fields } from "./Streams.ts"

export const blank: Fields = {
  slug: "",
  title: "",
  description: "",
  visibility: "public",
  chat: { enabled: true, slow_mode_seconds: 0 }
}

const visibilities = [
  { value: "public", title: "Public: for everyone" },
  { value: "unlisted", title: "Unlisted: for those who know the address" },
  { value: "private", title: "Private: with a key" }
] as const

/** An address for the title; empty if it has no letters of one. */
const slugOf = (title: string): string =>
  title
    .normalize("NFD")
    .replaceAll(/\p{M}/gu, "")
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, "-")
    .slice(0, 64)
    .replaceAll(/^-|-$/g, "")

export function StreamForm({
  initial,
  label,
  onClose,
  onSubmit
}: {
  /** The label of the form and of its button. */
  readonly label: string
  readonly initial: Fields
  /** Throws what the server refuses. */
  readonly onSubmit: (fields: Fields) => Promise<void>
  /** `isDone` false: it was cancelled. */
  readonly onClose: (isDone: boolean) => void
}) {
  const [values, setValues] = useState(initial)
  const [isSending, setSending] = useState(false)
  const [problem, setProblem] = useState("")
  const [mistakes, setMistakes] = useState<ReadonlyArray<Mistake>>([])
  const first = useRef<HTMLInputElement>(null)
  useEffect(() => first.current?.focus(), [])
  const change = (changed: Partial<Fields>) => setValues({ ...values, ...changed })
  const isWrong = (name: string) => mistakes.some(({ field }) => field === name)
  const submit = async () => {
    setSending(true)
    setProblem("")
    setMistakes([])
    try {
      await onSubmit(values)
      onClose(true)
    } catch (cause) {
      setMistakes(cause instanceof Refused ? cause.mistakes : [])
      setProblem(messageFor(cause))
      setSending(false)
    }
  }
  return (
    <form
      class="studio-form"
      aria-label={label}
      onSubmit={(event) => {
        event.preventDefault()
        void submit()
      }}
    >
      <p>
        <label for="stream-title">Title</label>
        <input
          id="stream-title"
          ref={first}
          required
          maxLength={255}
          value={values.title}
          aria-invalid={isWrong("title")}
          onInput={(event) => {
            const title = event.currentTarget.value
            // A new stream's address follows the title until another one is typed.
            const isSuggested = initial.slug === "" && values.slug === slugOf(values.title)
            change(isSuggested ? { title, slug: slugOf(title) } : { title })
          }}
        />
      </p>
      <p>
        <label for="stream-slug">Address</label>
        <input
          id="stream-slug"
          required
          autocomplete="off"
          autocapitalize="none"
          spellcheck={false}
          maxLength={64}
          value={values.slug}
          aria-invalid={isWrong("slug")}
          aria-describedby="stream-slug-hint"
          onInput={(event) => change({ slug: event.currentTarget.value })}
        />
        <span id="stream-slug-hint" class="hint">
          3 to 64 of a–z, 0–9 and -. {values.slug !== "" && `The page of the stream is /s/${values.slug}`}
        </span>
      </p>
      <p>
        <label for="stream-description">Description</label>
        <textarea
          id="stream-description"
          rows={3}
          maxLength={5_000}
          value={values.description}
          aria-invalid={isWrong("description")}
          onInput={(event) => change({ description: event.currentTarget.value })}
        />
      </p>
      <p>
        <label for="stream-visibility">Visibility</label>
        <select
          id="stream-visibility"
          value={values.visibility}
          onChange={(event) => change({ visibility: event.currentTarget.value })}
        >
          {visibilities.map(({ title, value }) => (
            <option key={value} value={value}>
              {title}
            </option>
          ))}
        </select>
      </p>
      <label class="check">
        <input
          type="checkbox"
          checked={values.chat.enabled}
          onChange={(event) => change({ chat: { ...values.chat, enabled: event.currentTarget.checked } })}
        />
        Chat
      </label>
      <p>
        <label for="stream-slow">Slow mode, seconds between two messages of a user</label>
        <input
          id="stream-slow"
          type="number"
          min={0}
          max={120}
          step={1}
          value={values.chat.slow_mode_seconds}
          aria-invalid={isWrong("chat")}
          onInput={(event) =>
            change({ chat: { ...values.chat, slow_mode_seconds: Math.round(event.currentTarget.valueAsNumber || 0) } })
          }
        />
      </p>
      <div role="alert">{problem !== "" && <p class="problem">{problem}</p>}</div>
      <div class="row">
        <button type="submit" class="primary" disabled={isSending}>
          {label}
        </button>
        <button type="button" class="quiet" onClick={() => onClose(false)}>
          Cancel
        </button>
      </div>
    </form>
  )
}
