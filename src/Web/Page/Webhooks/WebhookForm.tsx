/** Form that creates or changes a webhook. */
import { useState } from "preact/hooks"
import { Field, Form, Mistakes, useForm } from "../Manage/Form.tsx"
import { type Fields, toggled } from "./Wording.ts"

/** Names in requests. */
const fields = ["url", "types", "description", "audio_seconds", "rate"]

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
  const [isGlobal, setGlobal] = useState(false)
  const form = useForm(initial, fields, async (values) => {
    await onSubmit(values, isGlobal)
    onClose(true)
  })
  const { change, mistakesOf, values } = form
  return (
    <Form
      class="webhook-form"
      label={label}
      action={label}
      state={form}
      isComplete={values.types.length > 0}
      onCancel={() => onClose(false)}
    >
      <Field
        id="webhook-url"
        label="URL"
        hint="Receives a POST for each event."
        isFirst
        value={values.url}
        mistakes={mistakesOf("url")}
        onInput={(url) => change({ url })}
        attributes={{ inputMode: "url", required: true, autocomplete: "off", spellcheck: false }}
      />
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
        <Mistakes id="webhook-types-mistake" mistakes={mistakesOf("types")} />
      </fieldset>
      <Field
        id="webhook-description"
        label="Description"
        hint="For you only."
        value={values.description}
        mistakes={mistakesOf("description")}
        onInput={(description) => change({ description })}
        attributes={{ maxLength: 1_000 }}
      />
      <div class="two">
        <Field
          id="webhook-audio_seconds"
          label="Live audio, seconds in a request"
          hint="1 to 60. Empty: no live audio."
          value={values.audioSeconds}
          mistakes={mistakesOf("audio_seconds")}
          onInput={(audioSeconds) => change({ audioSeconds })}
          attributes={{ type: "number", min: 1, max: 60, step: 1 }}
        />
        <Field
          id="webhook-rate"
          label="Most requests a second"
          hint="1 to 1,000. Empty: no limit."
          value={values.rate}
          mistakes={mistakesOf("rate")}
          onInput={(rate) => change({ rate })}
          attributes={{ type: "number", min: 1, max: 1_000, step: 1 }}
        />
      </div>
      {canBeGlobal && (
        <label>
          <input type="checkbox" checked={isGlobal} onChange={() => setGlobal(!isGlobal)} />
          Events of all users
        </label>
      )}
    </Form>
  )
}
