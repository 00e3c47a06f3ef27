/** A recording in the studio's table, and what can be done to it. */
import { useEffect, useRef, useState } from "preact/hooks"
import { date, duration } from "../Format.ts"
import { messageFor } from "../Server.ts"
import { VodPlayer } from "../Stream/VodPlayer.tsx"
import { AnalyticsPanel } from "./Analytics.tsx"
import type { Vod } from "./Model.ts"
import * as Vods from "./Vods.ts"

const states: Readonly<Record<string, { readonly kind: string; readonly title: string }>> = {
  pending: { kind: "wait", title: "Waiting" },
  processing: { kind: "wait", title: "Processing" },
  ready: { kind: "good", title: "Ready" },
  failed: { kind: "bad", title: "Failed" }
}

const reasons: Readonly<Record<string, string>> = {
  no_audio: "No audio arrived in this broadcast.",
  audio_missing: "Part of its audio is missing in the object store.",
  merge_failed: "Its audio files could not be merged.",
  too_slow: "Its audio did not reach the object store within a day.",
  internal: "The server failed. Its log has more."
}

interface Editing {
  readonly fields: Vods.Fields
  readonly etag: string
}

const EditForm = ({
  initial: { etag, fields },
  onClose,
  vod
}: {
  readonly vod: Vod
  readonly initial: Editing
  readonly onClose: () => void
}) => {
  const [values, setValues] = useState(fields)
  const first = useRef<HTMLInputElement>(null)
  useEffect(() => first.current?.focus(), [])
  const [problem, setProblem] = useState("")
  const submit = async () => {
    setProblem("")
    try {
      await Vods.edit(vod, values, etag)
      onClose()
    } catch (cause) {
      setProblem(messageFor(cause))
    }
  }
  return (
    <form
      class="studio-form"
      aria-label={`Edit ${vod.title}`}
      onKeyDown={(event) => {
        if (event.key === "Escape") onClose()
      }}
      onSubmit={(event) => {
        event.preventDefault()
        void submit()
      }}
    >
      <p>
        <label for={`vod-title-${vod.id}`}>Title</label>
        <input
          id={`vod-title-${vod.id}`}
          ref={first}
          required
          maxLength={255}
          value={values.title}
          onInput={(event) => setValues({ ...values, title: event.currentTarget.value })}
        />
      </p>
      <p>
        <label for={`vod-description-${vod.id}`}>Description</label>
        <textarea
          id={`vod-description-${vod.id}`}
          rows={3}
          maxLength={5_000}
          value={values.description}
          onInput={(event) => setValues({ ...values, description: event.currentTarget.value })}
        />
      </p>
      <div role="alert">{problem !== "" && <p class="problem">{problem}</p>}</div>
      <div class="row">
        <button type="submit" class="primary">
          Save
        </button>
        <button type="button" class="quiet" onClick={onClose}>
          Cancel
        </button>
      </div>
    </form>
  )
}

type Panel = "play" | "edit" | "analytics"

export function VodRow({ vod }: { readonly vod: Vod }) {
  const { deleted_at, description, id, purge_at, reason, status, stream, title } = vod
  const [panel, setPanel] = useState<Panel>()
  const [editing, setEditing] = useState<Editing>()
  const [problem, setProblem] = useState("")
  const buttons = useRef<Partial<Record<Panel, HTMLButtonElement | null>>>({})
  const isDeleted = deleted_at !== null
  const state = states[status] ?? { kind: "wait", title: status }
  const close = () => {
    if (panel !== undefined) buttons.current[panel]?.focus()
    setPanel(undefined)
  }
  const open = async (wanted: Panel) => {
    setProblem("")
    if (panel === wanted) return close()
    try {
      if (wanted === "edit") {
        const { etag, value } = await Vods.read(vod)
        setEditing({ etag, fields: { title: value.title, description: value.description } })
      }
      setPanel(wanted)
    } catch (cause) {
      setProblem(messageFor(cause))
    }
  }
  const button = (name: Panel, words: string) => (
    <button
      ref={(element) => {
        buttons.current[name] = element
      }}
      type="button"
      class={panel === name ? "quiet on" : "quiet"}
      aria-expanded={panel === name}
      aria-label={`${words} ${title}`}
      onClick={() => void open(name)}
    >
      {words}
    </button>
  )
  const action = (words: string, act: (vod: Vod) => Promise<void>) => (
    <button type="button" class="quiet" aria-label={`${words} ${title}`} onClick={() => void act(vod)}>
      {words}
    </button>
  )
  return (
    <>
      <tr class={isDeleted ? "vod deleted" : "vod"} data-vod={id}>
        <th scope="row">
          <span dir="auto">{title}</span>
          {description !== "" && (
            <span class="hint" dir="auto">
              {description}
            </span>
          )}
        </th>
        <td>{stream === null ? "–" : `/s/${stream}`}</td>
        <td>
          {date(vod.started_at)}
          {vod.duration !== null && `, ${duration(vod.duration)}`}
        </td>
        <td>
          <span class={`chip ${isDeleted ? "wait" : state.kind}`}>{isDeleted ? "Deleted" : state.title}</span>
          {status === "failed" && !isDeleted && <span class="hint">{reasons[reason ?? ""] ?? reason}</span>}
          {isDeleted && purge_at !== null && <span class="hint">Can be restored until {date(purge_at)}</span>}
        </td>
        <td>
          <div class="row">
            {isDeleted ? (
              action("Restore", Vods.restore)
            ) : (
              <>
                {status === "ready" && button("play", "Play")}
                {status === "failed" && action("Retry", Vods.retry)}
                {button("edit", "Edit")}
                {button("analytics", "Analytics")}
                {action("Delete", Vods.remove)}
              </>
            )}
          </div>
          <div role="alert">{problem !== "" && <p class="problem">{problem}</p>}</div>
        </td>
      </tr>
      {panel !== undefined && !isDeleted && (
        <tr class="vod-panel">
          <td colSpan={5}>
            {panel === "play" && (
              <div class="studio-chat">
                <VodPlayer vod={vod} heading="h4" onClose={close} />
              </div>
            )}
            {panel === "edit" && editing !== undefined && <EditForm vod={vod} initial={editing} onClose={close} />}
            {panel === "analytics" && <AnalyticsPanel vod={vod} />}
          </td>
        </tr>
      )}
    </>
  )
}
