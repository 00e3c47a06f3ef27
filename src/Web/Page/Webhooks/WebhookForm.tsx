/** Form that creates or changes a webhook. What the server refuses is shown at its field. */
import { useEffect, useRef, useState } from "preact/hooks"
import { messageFor, type Mistake, Refused } from "../Server.ts"
import { type Fields, toggled } from "./Wording.ts"

const Mistakes = ({ id, mistakes }: { readonly id: string; readonly mistakes: ReadonlyArray<Mistake> }) => (
  <span id={id} class="mistake" role="alert">
    {mistakes.map(({ message }) => message).join(" ")}
  </span>
)

/** Names of fields in requests. */
type Field = "url" | "types" | "description" | "audio_seconds" | "rate"

/** Those that a request of the form can refuse; others are shown below the form. */
const fields: ReadonlyArray<string> = ["url", "types", "description", "audio_seconds", "rate"]

export function WebhookForm({
  canBeGlobal,
  initial,
  label,
  onClose,
  onSubmit,
  types
}: {
  /** The label of the form and of its button. */
  readonly label: string
  readonly initial: Fields
  /** All types of events. */
  readonly types: ReadonlyArray<string>
  readonly canBeGlobal: boolean
  /** Throws what the server refuses. */
  readonly onSubmit: (fields: Fields, isGlobal: boolean) => Promise<void>
  /** `isDone` false: it was cancelled. */
  readonly onClose: (isDone: boolean) => void
}) {
  const [values, setValues] = useState(initial)
  const [isGlobal, setGlobal] = useState(false)
  const [isSending, setSending] = useState(false)
  const [problem, setProblem] = useState("")
  const [mistakes, setMistakes] = useState<ReadonlyArray<Mistake>>([])
  const first = useRef<HTMLInputElement>(null)
  useEffect(() => first.current?.focus(), [])
  const change = (changed: Partial<Fields>) => setValues({ ...values, ...changed })
  const of = (name: Field) => mistakes.filter(({ field }) => field === name)
  const submit = async () => {
    setSending(true)
    setProblem("")
    setMistakes([])
    try {
      await onSubmit(values, isGlobal)
      onClose(true)
    } catch (cause) {
      const named = cause instanceof Refused ? cause.mistakes.filter(({ field }) => fields.includes(field)) : []
      setMistakes(named)
      setProblem(named.length === 0 ? messageFor(cause) : "")
      setSending(false)
    }
  }
  const field = (
    name: Field,
    title: string,
    hint: string,
    input: Record<string, unknown>,
    key: Exclude<keyof Fields, "types">
  ) => (
    <p>
      <label for={`webhook-${name}`}>{title}</label>
      <input
        id={`webhook-${name}`}
        value={values[key]}
        aria-describedby={`webhook-${name}-hint webhook-${name}-mistake`}
        aria-invalid={of(name).length > 0}
        onInput={(event) => change({ [key]: event.currentTarget.value })}
        {...input}
      />
      <span id={`webhook-${name}-hint`} class="hint">
        {hint}
      </span>
      <Mistakes id={`webhook-${name}-mistake`} mistakes={of(name)} />
    </p>
  )
  return (
    <form
      class="webhook-form"
      aria-label={label}
      onSubmit={(event) => {
        event.preventDefault()
        void submit()
      }}
    >
      {field(
        "url",
        "URL",
        "Receives a POST for each event.",
        { ref: first, inputMode: "url", required: true, autocomplete: "off", spellcheck: false },
        "url"
      )}
      <fieldset aria-describedby="webhook-types-mistake">
        <legend>Events</legend>
        {["*", ...types].map((type) => (
          <label key={type}>
            <input
              type="checkbox"
              checked={values.types.includes(type)}
              onChange={() => change({ types: toggled(values.types, type) })}
            />
            {type === "*" ? "All, also types that are added later" : <code>{type}</code>}
          </label>
        ))}
        <Mistakes id="webhook-types-mistake" mistakes={of("types")} />
      </fieldset>
      {field("description", "Description", "For you only.", { maxLength: 1_000 }, "description")}
      <div class="two">
        {field(
          "audio_seconds",
          "Live audio, seconds in a request",
          "1 to 60. Empty: no live audio.",
          { type: "number", min: 1, max: 60, step: 1 },
          "audioSeconds"
        )}
        {field(
          "rate",
          "Most requests a second",
          "1 to 1,000. Empty: no limit.",
          { type: "number", min: 1, max: 1_000, step: 1 },
          "rate"
        )}
      </div>
      {canBeGlobal && (
        <label>
          <input type="checkbox" checked={isGlobal} onChange={() => setGlobal(!isGlobal)} />
          Events of all users
        </label>
      )}
      <div role="alert">{problem !== "" && <p class="problem">{problem}</p>}</div>
      <div class="row">
        <button type="submit" class="primary" disabled={isSending || values.types.length === 0}>
          {label}
        </button>
        <button type="button" class="quiet" onClick={() => onClose(false)}>
          Cancel
        </button>
      </div>
    </form>
  )
}
