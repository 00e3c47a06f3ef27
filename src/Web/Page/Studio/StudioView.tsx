/** The studio: streams of the key's user, their keys and chats, and the recordings. */
import { ManagedView } from "../Manage/ManagedView.tsx"
import { SecretCard } from "../Manage/SecretCard.tsx"
import { useStore } from "../Store.ts"
import { StreamCard } from "./StreamCard.tsx"
import { blank, StreamForm } from "./StreamForm.tsx"
import * as Streams from "./Streams.ts"
import { VodsPanel } from "./VodsPanel.tsx"

const KeyCard = ({ shown: { key, slug } }: { readonly shown: Streams.ShownKey }) => (
  <SecretCard
    title={`The stream key of ${slug}`}
    secret={key}
    copyLabel="Copy key"
    onDone={() => {
      Streams.dismissKey()
      document.getElementById("studio-title")?.focus()
    }}
  >
    <p>
      With it, any capture client goes live: in place of its access key. Copy it now: it is not shown again. This page
      remembers it until it is closed.
    </p>
    <code class="value">{key}</code>
  </SecretCard>
)

export function StudioView() {
  const { done, hasMore, message, metrics, problem, shownKey, streams } = useStore(Streams.streams)
  return (
    <ManagedView
      name="studio"
      title="Studio"
      createLabel="Create a stream"
      formLabel="New stream"
      form={(onClose) => <StreamForm label="Create" initial={blank} onSubmit={Streams.create} onClose={onClose} />}
      count={streams?.length}
      emptyHint="A stream is a channel of yours with a page of its own. Create one, go live from this browser or any capture client, and its audience hears you and chats there."
      outcome={{ done, message, problem }}
      secret={shownKey !== undefined && <KeyCard shown={shownKey} />}
      follow={Streams.follow}
    >
      {streams?.map((stream) => (
        <StreamCard key={stream.slug} stream={stream} metrics={metrics[stream.slug]} />
      ))}
      {hasMore && <p class="hint">The newest 100 streams are shown.</p>}
      <VodsPanel />
    </ManagedView>
  )
}
