/** Form that creates or changes a stream. */
import { Field, Form, useForm } from "../Manage/Form.tsx"
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

/** Names in requests. */
const fields = ["title", "slug", "description", "chat"]

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
  const form = useForm(initial, fields, async (values) => {
    await onSubmit(values)
    onClose(true)
  })
  const { change, mistakesOf, values } = form
  const { chat, description, slug, title, visibility } = values
  /** The address of a new stream follows the title until another one is typed. */
  const isSuggested = initial.slug === "" && slug === slugOf(title)
  return (
    <Form class="studio-form" label={label} action={label} state={form} onCancel={() => onClose(false)}>
      <Field
        id="stream-title"
        label="Title"
        isFirst
        value={title}
        mistakes={mistakesOf("title")}
        onInput={(title) => change(isSuggested ? { title, slug: slugOf(title) } : { title })}
        attributes={{ required: true, maxLength: 255 }}
      />
      <Field
        id="stream-slug"
        label="Address"
        hint={`3 to 64 of a–z, 0–9 and -. ${slug === "" ? "" : `The page of the stream is /s/${slug}`}`}
        value={slug}
        mistakes={mistakesOf("slug")}
        onInput={(slug) => change({ slug })}
        attributes={{ required: true, maxLength: 64, autocomplete: "off", autocapitalize: "none", spellcheck: false }}
      />
      <Field
        id="stream-description"
        label="Description"
        rows={3}
        value={description}
        mistakes={mistakesOf("description")}
        onInput={(description) => change({ description })}
        attributes={{ maxLength: 5_000 }}
      />
      <p>
        <label for="stream-visibility">Visibility</label>
        <select
          id="stream-visibility"
          value={visibility}
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
          checked={chat.enabled}
          onChange={(event) => change({ chat: { ...chat, enabled: event.currentTarget.checked } })}
        />
        Chat
      </label>
      <Field
        id="stream-slow"
        label="Slow mode, seconds between two messages of a user"
        value={String(chat.slow_mode_seconds)}
        mistakes={mistakesOf("chat")}
        onInput={(seconds) => change({ chat: { ...chat, slow_mode_seconds: Math.round(Number(seconds) || 0) } })}
        attributes={{ type: "number", min: 0, max: 120, step: 1 }}
      />
    </Form>
  )
}
