/** A recording in the studio's table, and what can be done to it. */
import { useRef, useState } from "preact/hooks"
import { date, duration } from "../Format.ts"
import { Field, Form, useForm } from "../Manage/Form.tsx"
import { Alert } from "../Outcome.tsx"
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
  const form = useForm(fields, ["title", "description"], async (values) => {
    await Vods.edit(vod, values, etag)
    onClose()
  })
  const { change, mistakesOf, values } = form
  return (
    <div
      onKeyDown={(event) => {
        if (event.key === "Escape") onClose()
      }}
    >
      <Form class="studio-form" label={`Edit ${vod.title}`} action="Save" state={form} onCancel={onClose}>
        <Field
          id={`vod-title-${vod.id}`}
          label="Title"
          isFirst
          value={values.title}
          mistakes={mistakesOf("title")}
          onInput={(title) => change({ title })}
          attributes={{ required: true, maxLength: 255 }}
        />
        <Field
          id={`vod-description-${vod.id}`}
          label="Description"
          rows={3}
          value={values.description}
          mistakes={mistakesOf("description")}
          onInput={(description) => change({ description })}
          attributes={{ maxLength: 5_000 }}
        />
      </Form>
    </div>
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
          <Alert>{problem}</Alert>
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
