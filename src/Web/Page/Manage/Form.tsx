/** Forms that create or change something. What the server refuses is shown at its field, or else below the form. */
import type { ComponentChildren } from "preact"
import { useEffect, useRef, useState } from "preact/hooks"
import { Alert } from "../Outcome.tsx"
import { messageFor, type Mistake, Refused } from "../Server.ts"

export interface FormState<Values> {
  readonly values: Values
  readonly change: (changed: Partial<Values>) => void
  readonly isSending: boolean
  /** What was refused, unless it is shown at fields. */
  readonly problem: string
  /** What was refused of a field of the request. */
  readonly mistakesOf: (field: string) => ReadonlyArray<Mistake>
  readonly submit: () => Promise<void>
}

/** `fields`: names in the request, at which the form shows mistakes. `send` throws what the server refuses. */
export function useForm<Values>(
  initial: Values,
  fields: ReadonlyArray<string>,
  send: (values: Values) => Promise<void>
): FormState<Values> {
  const [values, setValues] = useState(initial)
  const [isSending, setSending] = useState(false)
  const [problem, setProblem] = useState("")
  const [mistakes, setMistakes] = useState<ReadonlyArray<Mistake>>([])
  return {
    values,
    change: (changed) => setValues({ ...values, ...changed }),
    isSending,
    problem,
    mistakesOf: (name) => mistakes.filter(({ field }) => field === name),
    submit: async () => {
      setSending(true)
      setProblem("")
      setMistakes([])
      try {
        await send(values)
      } catch (cause) {
        const shown = cause instanceof Refused ? cause.mistakes.filter(({ field }) => fields.includes(field)) : []
        setMistakes(shown)
        setProblem(shown.length === 0 ? messageFor(cause) : "")
        setSending(false)
      }
    }
  }
}

/** The form with its buttons. */
export function Form({
  action,
  children,
  class: name,
  isComplete = true,
  label,
  onCancel,
  state: { isSending, problem, submit }
}: {
  readonly class: string
  readonly label: string
  /** Label of the button that sends it. */
  readonly action: string
  readonly state: FormState<unknown>
  /** False: it can't be sent yet. */
  readonly isComplete?: boolean
  readonly onCancel: () => void
  readonly children: ComponentChildren
}) {
  return (
    <form
      class={name}
      aria-label={label}
      onSubmit={(event) => {
        event.preventDefault()
        void submit()
      }}
    >
      {children}
      <Alert>{problem}</Alert>
      <div class="row">
        <button type="submit" class="primary" disabled={isSending || !isComplete}>
          {action}
        </button>
        <button type="button" class="quiet" onClick={onCancel}>
          Cancel
        </button>
      </div>
    </form>
  )
}

export function Mistakes({ id, mistakes }: { readonly id: string; readonly mistakes: ReadonlyArray<Mistake> }) {
  return (
    <span id={id} class="mistake" role="alert">
      {mistakes.map(({ message }) => message).join(" ")}
    </span>
  )
}

/** What browsers know about the text. */
interface TextAttributes {
  readonly required?: boolean
  readonly maxLength?: number
  readonly autocomplete?: "off"
  readonly autocapitalize?: "none"
  readonly spellcheck?: boolean
  readonly inputMode?: "url"
  readonly type?: "number"
  readonly min?: number
  readonly max?: number
  readonly step?: number
}

type TextElement = HTMLInputElement | HTMLTextAreaElement

/** A labelled text field with what is wrong with it. */
export function Field({
  attributes = {},
  hint,
  id,
  isFirst = false,
  label,
  mistakes,
  onInput,
  rows,
  value
}: {
  readonly id: string
  readonly label: string
  readonly hint?: string
  readonly value: string
  readonly onInput: (value: string) => void
  readonly mistakes: ReadonlyArray<Mistake>
  /** Lines of text; without it, the field has one line. */
  readonly rows?: number
  /** Takes the focus when the form opens. */
  readonly isFirst?: boolean
  readonly attributes?: TextAttributes
}) {
  const element = useRef<TextElement | null>(null)
  useEffect(() => {
    if (isFirst) element.current?.focus()
  }, [])
  const shared = {
    ...attributes,
    id,
    value,
    ref: (found: TextElement | null) => {
      element.current = found
    },
    "aria-invalid": mistakes.length > 0,
    "aria-describedby": hint === undefined ? `${id}-mistake` : `${id}-hint ${id}-mistake`,
    onInput: ({ currentTarget }: { readonly currentTarget: TextElement }) => onInput(currentTarget.value)
  }
  return (
    <p>
      <label for={id}>{label}</label>
      {rows === undefined ? <input {...shared} /> : <textarea {...shared} rows={rows} />}
      {hint !== undefined && (
        <span id={`${id}-hint`} class="hint">
          {hint}
        </span>
      )}
      <Mistakes id={`${id}-mistake`} mistakes={mistakes} />
    </p>
  )
}
