/** The page as a whole: who is here, how the server is, what is shown. */
import { useEffect, useState } from "preact/hooks"
import { Conversations } from "./Conversations.tsx"
import { KeyForm } from "./KeyForm.tsx"
import * as List from "./List.ts"
import * as Live from "./Live.ts"
import { LiveView } from "./LiveView.tsx"
import { RecordPanel } from "./RecordPanel.tsx"
import { leave, session } from "./Session.ts"
import { useStore } from "./Store.ts"

const chip = {
  connecting: { kind: "wait", words: "Connecting …" },
  connected: { kind: "good", words: "Connected" },
  waiting: { kind: "bad", words: "Reconnecting …" }
} as const

const Status = () => {
  const { state, words } = useStore(Live.live)
  const { kind, words: short } = chip[state]
  return (
    <div class="status" role="status">
      <span class={`chip ${kind}`}>{short}</span>
      {state === "waiting" && <span class="status-words">{words}</span>}
    </div>
  )
}

const isLiveView = () => location.hash === "#live"

const useView = (): "recordings" | "live" => {
  const [view, show] = useState(isLiveView())
  useEffect(() => {
    const look = () => show(isLiveView())
    window.addEventListener("hashchange", look)
    return () => window.removeEventListener("hashchange", look)
  }, [])
  return view ? "live" : "recordings"
}

export const App = () => {
  const { key, refused } = useStore(session)
  const view = useView()
  useEffect(() => {
    if (key === undefined) return undefined
    const stop = new AbortController()
    void Live.follow(stop.signal)
    void List.follow(stop.signal)
    return () => stop.abort()
  }, [key])
  return (
    <>
      <a
        class="skip"
        href="#main"
        onClick={(event) => {
          event.preventDefault()
          document.getElementById("main")?.focus()
        }}
      >
        Skip to the content
      </a>
      <header class="top">
        <h1>
          <svg viewBox="0 0 32 32" aria-hidden="true" class="logo">
            <rect width="32" height="32" rx="8" />
            <path d="M6 13h6c5 0 4 9 9 9h5" />
            <path d="M6 19h4c4 0 5 7 10 7h6M12 8h4c5 0 4 9 9 9h1" class="thin" />
          </svg>
          Spillway
        </h1>
        <nav aria-label="Views">
          <a href="#recordings" aria-current={view === "recordings" ? "page" : undefined}>
            Recordings
          </a>
          <a href="#live" aria-current={view === "live" ? "page" : undefined}>
            Live view
          </a>
          <a href="docs">API</a>
        </nav>
        {key !== undefined && <Status />}
        {key !== undefined && (
          <button type="button" class="quiet" onClick={leave}>
            Forget key
          </button>
        )}
      </header>
      <main id="main" tabIndex={-1}>
        {key === undefined && <KeyForm refused={refused} />}
        <div hidden={view !== "recordings"} class="recordings">
          <RecordPanel hasKey={key !== undefined} />
          {key !== undefined && <Conversations />}
        </div>
        {view === "live" && key !== undefined && <LiveView />}
      </main>
    </>
  )
}
