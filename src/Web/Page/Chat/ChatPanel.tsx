/** The chat of a stream: its messages, and the form that writes one. */
import { useEffect, useId, useLayoutEffect, useRef, useState } from "preact/hooks"
import { messageFor } from "../Server.ts"
import { session } from "../Session.ts"
import { useSelected, useStore } from "../Store.ts"
import { Composer } from "./Composer.tsx"
import { MessageRow } from "./MessageRow.tsx"
import type { Message } from "./Model.ts"
import { ChatRoom } from "./ChatRoom.ts"

/** Distance from the end of the log within which it follows new messages. */
const nearPixels = 48

/** Least time between two announcements: a busy chat would talk without end. */
const announceMillis = 4_000

/** Reads new messages to screen readers: the last one, and how many came with it. */
const Announcer = ({ messages }: { readonly messages: ReadonlyArray<Message> }) => {
  const [said, say] = useState("")
  const waiting = useRef({ count: 0, timer: 0 })
  const lastId = useRef<number>(undefined)
  const latest = useRef<Message>(undefined)
  latest.current = messages.at(-1)
  const id = latest.current?.id ?? 0
  useEffect(() => {
    const { current } = waiting
    const former = lastId.current
    lastId.current = Math.max(id, former ?? 0)
    if (former === undefined || id <= former) return
    current.count += messages.filter(({ id }) => id > former).length
    if (current.timer !== 0) return
    const announce = () => {
      current.timer = 0
      if (current.count === 0 || latest.current === undefined) return
      const { text, uid } = latest.current
      say(`${current.count > 1 ? `${current.count} new messages. ` : ""}${uid}: ${text}`)
      current.count = 0
      current.timer = setTimeout(announce, announceMillis)
    }
    current.timer = setTimeout(announce, 0)
  }, [id])
  useEffect(() => () => clearTimeout(waiting.current.timer), [])
  return (
    <p class="unseen" role="status" data-announced>
      {said}
    </p>
  )
}

/** Scrolls with new messages, unless the reader has scrolled up. */
const Log = ({
  chat,
  onDone,
  slug
}: {
  readonly slug: string
  readonly chat: ChatRoom
  readonly onDone: (done: string) => void
}) => {
  const { hasOlder, link, messages, you } = useStore(chat.state)
  const log = useRef<HTMLDivElement>(null)
  const isNear = useRef(true)
  /** The last message when the reader scrolled up. */
  const [seen, setSeen] = useState<number>()
  const [problem, setProblem] = useState("")
  const first = messages[0]?.id
  const former = useRef({ first, height: 0 })
  useLayoutEffect(() => {
    const { current } = log
    if (current === null) return
    // An open menu stays under the pointer.
    const isHeld = current.querySelector(".moderate") !== null
    if (isNear.current && !isHeld) current.scrollTop = current.scrollHeight
    else if (first !== former.current.first) current.scrollTop += current.scrollHeight - former.current.height
    former.current = { first, height: current.scrollHeight }
  }, [messages])
  const scroll = () => {
    const { current } = log
    if (current === null) return
    isNear.current = current.scrollHeight - current.scrollTop - current.clientHeight < nearPixels
    setSeen(isNear.current ? undefined : (seen ?? messages.at(-1)?.id ?? 0))
  }
  const unseen = seen === undefined ? 0 : messages.filter(({ id }) => id > seen).length
  return (
    <div class="log-frame">
      <div ref={log} class="chat-log" role="region" aria-label="Messages" tabIndex={0} onScroll={scroll}>
        {hasOlder && (
          <button
            type="button"
            class="quiet"
            onClick={() => {
              isNear.current = false
              setProblem("")
              chat.older().catch((cause: unknown) => setProblem(messageFor(cause)))
            }}
          >
            Older messages
          </button>
        )}
        {problem !== "" && (
          <p class="problem" role="alert">
            {problem}
          </p>
        )}
        {messages.length === 0 && link === "connected" && <p class="hint">No messages yet.</p>}
        <ol>
          {messages.map((message) => (
            <MessageRow key={message.id} slug={slug} message={message} you={you} onDone={onDone} />
          ))}
        </ol>
      </div>
      {unseen > 0 && (
        <button
          type="button"
          class="quiet newer"
          onClick={() => {
            isNear.current = true
            setSeen(undefined)
            log.current?.scrollTo(0, log.current.scrollHeight)
            log.current?.focus()
          }}
        >
          {unseen === 1 ? "1 new message" : `${unseen} new messages`}
        </button>
      )}
    </div>
  )
}

/** A room for the key of the session: another key enters anew. */
const useRoom = (slug: string, attempt: number): ChatRoom => {
  const key = useSelected(session, ({ key }) => key)
  const [chat, setChat] = useState(() => new ChatRoom(slug))
  const entered = useRef<string>(undefined)
  const name = `${attempt} ${slug} ${key ?? ""}`
  useEffect(() => {
    const room = entered.current === undefined ? chat : new ChatRoom(slug)
    entered.current = name
    setChat(room)
    const stop = new AbortController()
    void room.run(stop.signal)
    return () => stop.abort()
  }, [name])
  return chat
}

export function ChatPanel({
  heading: Heading,
  onSanction,
  slug
}: {
  readonly slug: string
  /** The level of its title. */
  readonly heading: "h2" | "h4"
  /** A ban or a timeout began or ended. */
  readonly onSanction?: () => void
}) {
  const [attempt, setAttempt] = useState(0)
  const chat = useRoom(slug, attempt)
  const { link, messages, reason, sanctions, slowModeSeconds } = useStore(chat.state)
  const [done, setDone] = useState("")
  const title = useId()
  useEffect(() => {
    if (sanctions > 0) onSanction?.()
  }, [sanctions])
  return (
    <section class="card chat" aria-labelledby={title}>
      <div class="row">
        <Heading id={title}>Chat</Heading>
        {slowModeSeconds > 0 && <span class="chip wait">Slow mode: {slowModeSeconds} s</span>}
      </div>
      <Log slug={slug} chat={chat} onDone={setDone} />
      <Announcer messages={messages} />
      <div role="status">
        {link === "connecting" && <p class="hint">Connecting …</p>}
        {link === "waiting" && <p class="hint">{reason}</p>}
        {done !== "" && <p class="hint">{done}</p>}
      </div>
      {link === "ended" && (
        <div role="alert">
          <p class="problem">{reason}</p>
          <button type="button" class="quiet" onClick={() => setAttempt(attempt + 1)}>
            Connect again
          </button>
        </div>
      )}
      <Composer chat={chat} />
    </section>
  )
}
