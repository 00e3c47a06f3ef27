/** The settings of the key's user: read when the view opens, and changed by its form. */
import { useEffect, useRef, useState } from "preact/hooks"
import * as Model from "../Model.ts"
import { Alert } from "../Outcome.tsx"
import { changeJson, fetchJson, isAbort, messageFor } from "../Server.ts"
import { Store, useStore } from "../Store.ts"

interface State {
  /** Undefined until the server has answered. */
  readonly settings: Model.UserSettings | undefined
  readonly isSaving: boolean
  /** Of the last save; empty before it. */
  readonly saved: string
  readonly problem: string
}

const initial: State = { settings: undefined, isSaving: false, saved: "", problem: "" }

const store = new Store<State>(initial)

const path = "/v1/users/settings"

const load = async (signal: AbortSignal): Promise<void> => {
  store.set(initial)
  try {
    store.update({ settings: await fetchJson(Model.userSettings, path, signal) })
  } catch (cause) {
    if (!isAbort(cause)) store.update({ problem: messageFor(cause) })
  }
}

const save = async (changed: Model.UserSettings): Promise<void> => {
  store.update({ isSaving: true, saved: "", problem: "" })
  try {
    store.update({ settings: await changeJson(Model.userSettings, "PUT", path, changed), saved: "Saved." })
  } catch (cause) {
    store.update({ problem: messageFor(cause) })
  } finally {
    store.update({ isSaving: false })
  }
}

const standard = "As the server's settings say"

const Choice = ({
  hint,
  id,
  label,
  onChange,
  options,
  value
}: {
  readonly id: string
  readonly label: string
  readonly hint: string
  readonly options: ReadonlyArray<readonly [value: string, label: string]>
  readonly value: string
  readonly onChange: (value: string) => void
}) => (
  <p>
    <label for={id}>{label}</label>
    <select
      id={id}
      value={value}
      aria-describedby={`${id}-hint`}
      onChange={(event) => onChange(event.currentTarget.value)}
    >
      <option value="">{standard}</option>
      {options.map(([value, label]) => (
        <option key={value} value={value}>
          {label}
        </option>
      ))}
    </select>
    <span id={`${id}-hint`} class="hint">
      {hint}
    </span>
  </p>
)

const Form = ({ isSaving, settings }: { readonly isSaving: boolean; readonly settings: Model.UserSettings }) => {
  const [storeAudio, setStoreAudio] = useState(settings.store_audio === null ? "" : String(settings.store_audio))
  const [protection, setProtection] = useState(settings.protection ?? "")
  const [days, setDays] = useState(settings.retention_days === null ? "" : String(settings.retention_days))
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault()
        void save({
          store_audio: storeAudio === "" ? null : storeAudio === "true",
          protection: protection === "" ? null : protection,
          retention_days: days === "" ? null : Number(days)
        })
      }}
    >
      <Choice
        id="store-audio"
        label="Store audio"
        hint="Applies within a second, also to open recordings. What is stored already stays."
        options={[
          ["true", "Yes"],
          ["false", "No"]
        ]}
        value={storeAudio}
        onChange={setStoreAudio}
      />
      <Choice
        id="protection"
        label="Protection"
        hint="Applies to audio and transcripts that are stored from now on."
        options={[
          ["standard", "Standard"],
          ["enhanced", "Encrypted by the server"]
        ]}
        value={protection}
        onChange={setProtection}
      />
      <p>
        <label for="retention">Days to keep conversations</label>
        <input
          id="retention"
          type="number"
          min="0"
          max="36500"
          step="1"
          value={days}
          aria-describedby="retention-hint"
          onInput={(event) => setDays(event.currentTarget.value)}
        />
        <span id="retention-hint" class="hint">
          After their end; 0 keeps them for ever. Empty: as the server's settings say.
        </span>
      </p>
      <button type="submit" class="primary" disabled={isSaving}>
        Save
      </button>
    </form>
  )
}

export function SettingsView() {
  const { isSaving, problem, saved, settings } = useStore(store)
  const title = useRef<HTMLHeadingElement>(null)
  useEffect(() => {
    const stop = new AbortController()
    title.current?.focus()
    void load(stop.signal)
    return () => stop.abort()
  }, [])
  return (
    <section class="card settings" aria-labelledby="settings-title">
      <h2 id="settings-title" ref={title} tabIndex={-1}>
        Settings
      </h2>
      {settings === undefined ? (
        problem === "" && <p class="hint">Waiting for the server …</p>
      ) : (
        <Form isSaving={isSaving} settings={settings} />
      )}
      <div role="status">{saved !== "" && <p class="hint">{saved}</p>}</div>
      <Alert>{problem}</Alert>
    </section>
  )
}
