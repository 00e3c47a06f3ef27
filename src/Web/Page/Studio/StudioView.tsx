/** The studio: streams of the key's user, their keys and chats, and the recordings. */
import { useEffect, useRef, useState } from "preact/hooks"
import { CopyButton } from "../List/CopyButton.tsx"
import { useStore } from "../Store.ts"
import { StreamCard } from "./StreamCard.tsx"
import { blank, StreamForm } from "./StreamForm.tsx"
import * as Streams from "./Streams.ts"
import { VodsPanel } from "./VodsPanel.tsx"

const KeyCard = ({ shown: { key, slug } }: { readonly shown: Streams.ShownKey }) => {
  const title = useRef<HTMLHeadingElement>(null)
  useEffect(() => title.current?.focus(), [key])
  return (
    <section class="card new-secret" aria-labelledby="stream-key-title">
      <h3 id="stream-key-title" ref={title} tabIndex={-1}>
        The stream key of {slug}
      </h3>
      <p>
        With it, any capture client goes live: in place of its access key. Copy it now: it is not shown again. This page
        remembers it until it is closed.
      </p>
      <code class="value">{key}</code>
      <div class="row">
        <CopyButton label="Copy key" text={() => Promise.resolve(key)} />
        <button
          type="button"
          class="quiet"
          onClick={() => {
            Streams.dismissKey()
            document.getElementById("studio-title")?.focus()
          }}
        >
          Done
        </button>
      </div>
    </section>
  )
}

export function StudioView() {
  const { done, hasMore, message, metrics, problem, shownKey, streams } = useStore(Streams.streams)
  const [isCreating, setCreating] = useState(false)
  const title = useRef<HTMLHeadingElement>(null)
  useEffect(() => {
    const stop = new AbortController()
    title.current?.focus()
    void Streams.follow(stop.signal)
    return () => stop.abort()
  }, [])
  return (
    <div class="studio">
      <div class="row">
        <h2 id="studio-title" ref={title} tabIndex={-1}>
          Studio
        </h2>
        {streams !== undefined && !isCreating && (
          <button type="button" class="primary" onClick={() => setCreating(true)}>
            Create a stream
          </button>
        )}
      </div>
      <div role="status">{done !== "" && <p class="hint">{done}</p>}</div>
      <div role="alert">
        {problem !== "" && <p class="problem">{problem}</p>}
        {message !== "" && <p class="problem">{message}</p>}
      </div>
      {shownKey !== undefined && <KeyCard shown={shownKey} />}
      {isCreating && (
        <section class="card" aria-label="New stream">
          <StreamForm
            label="Create"
            initial={blank}
            onSubmit={Streams.create}
            onClose={(isDone) => {
              setCreating(false)
              // The key takes the focus.
              if (!isDone) title.current?.focus()
            }}
          />
        </section>
      )}
      {streams === undefined && message === "" && <p class="hint">Waiting for the server …</p>}
      {streams?.length === 0 && !isCreating && (
        <p class="hint">
          A stream is a channel of yours with a page of its own. Create one, go live from this browser or any capture
          client, and its audience hears you and chats there.
        </p>
      )}
      {streams?.map((stream) => (
        <StreamCard key={stream.slug} stream={stream} metrics={metrics[stream.slug]} />
      ))}
      {hasMore && <p class="hint">The newest 100 streams are shown.</p>}
      <VodsPanel />
    </div>
  )
}
