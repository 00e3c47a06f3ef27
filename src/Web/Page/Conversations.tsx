/** What was recorded, newest first, more as one scrolls. */
import { useEffect, useRef } from "preact/hooks"
import { ConversationCard } from "./ConversationCard.tsx"
import * as List from "./List.ts"
import { useStore } from "./Store.ts"

const Empty = () => (
  <div class="empty">
    <h3>Nothing is recorded yet</h3>
    <p>There are two ways to begin:</p>
    <ol>
      <li>
        Press <strong>Record</strong> and speak.
      </li>
      <li>
        On the server's machine, send a file as a device would:
        <pre tabIndex={0}>npm run spillway -- stream talk.wav --conversation my-talk</pre>
      </li>
    </ol>
  </div>
)

export const Conversations = () => {
  const { conversations, isLoadingMore, next, words } = useStore(List.list)
  const isFull = (conversations?.length ?? 0) >= List.maxConversations
  const end = useRef<HTMLDivElement>(null)
  useEffect(() => {
    const { current } = end
    if (current === null) return undefined
    const watcher = new IntersectionObserver((entries) => {
      if (entries.some(({ isIntersecting }) => isIntersecting)) void List.more()
    })
    watcher.observe(current)
    return () => watcher.disconnect()
  }, [next, conversations?.length])
  return (
    <section class="list" aria-labelledby="list-title">
      <h2 id="list-title">Conversations</h2>
      {words !== "" && (
        <p class="problem" role="alert">
          {words}
        </p>
      )}
      {conversations === undefined && words === "" && (
        <ul class="skeletons" aria-label="Loading" aria-busy="true">
          <li />
          <li />
          <li />
        </ul>
      )}
      {conversations?.length === 0 && <Empty />}
      {conversations !== undefined && conversations.length > 0 && (
        <ul class="conversations">
          {conversations.map((conversation) => (
            <ConversationCard key={conversation.id} conversation={conversation} />
          ))}
        </ul>
      )}
      <div ref={end} class="end">
        {next !== null && isFull && (
          <p class="hint">
            The newest {List.maxConversations}. Older ones: <code>spillway conversations</code>, or the API.
          </p>
        )}
        {next !== null && !isFull && (
          <button type="button" class="quiet" disabled={isLoadingMore} onClick={() => void List.more()}>
            {isLoadingMore ? "Loading …" : "Show more"}
          </button>
        )}
      </div>
    </section>
  )
}
