/** A stream: its state, what can be done to it, and its chat. */
import { useState } from "preact/hooks"
import { ChatPanel } from "../Chat/ChatPanel.tsx"
import { count, time } from "../Format.ts"
import { Confirm } from "../Manage/Confirm.tsx"
import { Alert } from "../Outcome.tsx"
import { messageFor } from "../Server.ts"
import type { Metrics, Stream } from "../Stream/Model.ts"
import { GoLive, useJob } from "./GoLive.tsx"
import { Moderation } from "./Moderation.tsx"
import { StreamForm } from "./StreamForm.tsx"
import * as Streams from "./Streams.ts"

const Figures = ({ live, metrics }: { readonly live: Stream["live"]; readonly metrics: Metrics | undefined }) => (
  <dl class="figures">
    <div>
      <dt>Live since</dt>
      <dd>{live === null ? "–" : time(live.started_at)}</dd>
    </div>
    <div>
      <dt>Listeners</dt>
      <dd>{metrics === undefined ? "–" : count(metrics.listeners)}</dd>
    </div>
    <div>
      <dt>Bitrate</dt>
      <dd>{metrics === undefined ? "–" : `${count(Math.round(metrics.bitrate / 1_000))} kbit/s`}</dd>
    </div>
  </dl>
)

interface Editing {
  readonly initial: Streams.Fields
  readonly etag: string
}

const fieldsOf = ({ chat, description, slug, title, visibility }: Stream): Streams.Fields => ({
  slug,
  title,
  description,
  visibility,
  chat
})

export function StreamCard({ metrics, stream }: { readonly stream: Stream; readonly metrics: Metrics | undefined }) {
  const { live, slug, title, visibility } = stream
  const [editing, setEditing] = useState<Editing>()
  const [isChatShown, showChat] = useState(false)
  const [sanctions, setSanctions] = useState(0)
  const isLiveHere = useJob(slug)?.state.value.isRecording === true
  const [problem, setProblem] = useState("")
  const edit = async () => {
    if (editing !== undefined) return setEditing(undefined)
    setProblem("")
    try {
      const { etag, value } = await Streams.read(slug)
      setEditing({ initial: fieldsOf(value), etag })
    } catch (cause) {
      setProblem(messageFor(cause))
    }
  }
  return (
    <section class="card stream" aria-labelledby={`stream-${slug}`} data-slug={slug}>
      <h3 id={`stream-${slug}`}>
        {title}{" "}
        {live === null ? (
          <span class="chip wait">Not live</span>
        ) : (
          <span class="chip live">{live.reconnecting ? "Live, reconnecting" : "Live"}</span>
        )}{" "}
        {visibility !== "public" && <span class="chip wait">{visibility}</span>}
      </h3>
      <p>
        <a href={`s/${slug}`} target="_blank" rel="opener">
          /s/{slug}
        </a>
      </p>
      {live !== null && <Figures live={live} metrics={metrics} />}
      <div class="row">
        <GoLive slug={slug} title={title} />
        {live !== null && !isLiveHere && (
          <Confirm
            label="End broadcast"
            name={`of ${title}`}
            question="End the broadcast now? A capture that is live is disconnected, and the recording is prepared."
            action="End it"
            onConfirm={() => void Streams.end(slug)}
          />
        )}
        <button
          type="button"
          class={isChatShown ? "quiet on" : "quiet"}
          aria-expanded={isChatShown}
          aria-label={`Chat of ${title}`}
          onClick={() => showChat(!isChatShown)}
        >
          Chat
        </button>
        <button
          id={`edit-stream-${slug}`}
          type="button"
          class="quiet"
          aria-expanded={editing !== undefined}
          aria-label={`Edit ${title}`}
          onClick={() => void edit()}
        >
          Edit
        </button>
        <Confirm
          label="Replace key"
          name={`of ${title}`}
          question="Replace the stream key? A capture that is live with the present key is disconnected."
          action="Replace it"
          onConfirm={() => void Streams.rotate(slug)}
        />
        <Confirm
          label="Delete"
          name={title}
          question="Delete this stream with its chat? It ends at once, and its address is free. Its recordings are kept."
          action="Delete it"
          onConfirm={() =>
            void Streams.remove(slug).then((isDone) => {
              if (isDone) document.getElementById("studio-title")?.focus()
            })
          }
        />
      </div>
      <Alert>{problem}</Alert>
      {editing !== undefined && (
        <StreamForm
          key={editing.etag}
          label="Save changes"
          initial={editing.initial}
          onSubmit={(fields) => Streams.edit(slug, fields, editing.etag)}
          onClose={() => {
            setEditing(undefined)
            document.getElementById(`edit-stream-${slug}`)?.focus()
          }}
        />
      )}
      {isChatShown && (
        <div class="studio-chat">
          <ChatPanel slug={slug} heading="h4" onSanction={() => setSanctions((count) => count + 1)} />
          <Moderation slug={slug} sanctions={sanctions} />
        </div>
      )}
    </section>
  )
}
