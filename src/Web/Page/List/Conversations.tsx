/** The list of conversations by day, newest first; scrolling loads more. */
import { useEffect, useRef } from "preact/hooks"
import { ConversationRow } from "./ConversationRow.tsx"
import { CopyButton } from "./CopyButton.tsx"
import * as List from "./List.ts"
import { RemovalNotices, state as removals } from "./Removals.tsx"
import { live } from "../Live/Live.ts"
import type { Conversation } from "../Model.ts"
import { useSelected, useStore } from "../Store.ts"
import { day } from "../Format.ts"

const command = "npm run spillway -- stream talk.wav --conversation my-talk"

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
        <pre tabIndex={0}>{command}</pre>
        <CopyButton text={command} label="Copy the command" />
      </li>
    </ol>
  </div>
)

interface Day {
  readonly name: string
  readonly conversations: ReadonlyArray<Conversation>
}

/** Groups adjacent conversations of one day, in the order of the list. */
const daysOf = (conversations: ReadonlyArray<Conversation>): ReadonlyArray<Day> => {
  const days: Array<{ readonly name: string; readonly conversations: Array<Conversation> }> = []
  for (const conversation of conversations) {
    const { started_at: started } = conversation
    const name = started === null ? "Just begun" : day(started)
    const last = days.at(-1)
    if (last?.name === name) last.conversations.push(conversation)
    else days.push({ name, conversations: [conversation] })
  }
  return days
}

const Days = ({ conversations }: { readonly conversations: ReadonlyArray<Conversation> }) => (
  <div class="card days">
    {daysOf(conversations).map(({ conversations, name }, index, all) => (
      // Imported conversations can split a day into several groups.
      <section key={`${name} ${all.slice(index).filter((day) => day.name === name).length}`}>
        <h3>{name}</h3>
        <ul>
          {conversations.map((conversation) => (
            <ConversationRow key={conversation.id} conversation={conversation} />
          ))}
        </ul>
      </section>
    ))}
  </div>
)

export function Conversations() {
  const { conversations: known, isLoadingMore, next, message } = useStore(List.list)
  const removed = useSelected(removals, ({ removals }) => removals)
  const conversations = known?.filter(({ id }) => !removed.some(({ conversation }) => conversation === id))
  const isAway = useSelected(live, ({ state }) => state === "waiting")
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
      <h2 id="list-title" tabIndex={-1}>
        Conversations
      </h2>
      {message !== "" && !isAway && (
        <p class="problem" role="alert">
          {message}
        </p>
      )}
      {conversations === undefined && (message === "" || isAway) && (
        <ul class="skeletons" aria-label="Loading" aria-busy="true">
          <li />
          <li />
          <li />
        </ul>
      )}
      <RemovalNotices />
      {known?.length === 0 && <Empty />}
      {conversations !== undefined && conversations.length > 0 && <Days conversations={conversations} />}
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
