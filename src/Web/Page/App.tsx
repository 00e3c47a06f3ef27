/** Root of the page: header with the server's state, the key form, the views, the player. */
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks"
import { alarmOf } from "./Live/Alarm.ts"
import { Conversations } from "./List/Conversations.tsx"
import { KeyForm } from "./KeyForm.tsx"
import * as List from "./List/List.ts"
import * as Live from "./Live/Live.ts"
import { LiveView } from "./Live/LiveView.tsx"
import { NowPlaying } from "./Play/NowPlaying.tsx"
import { player } from "./Play/Player.ts"
import { RecordingNow } from "./Record/RecordingNow.tsx"
import { RecordPanel } from "./Record/RecordPanel.tsx"
import * as Removals from "./List/Removals.tsx"
import { signOut, session } from "./Session.ts"
import { SettingsView } from "./Settings/SettingsView.tsx"
import { useSelected, useStore } from "./Store.ts"
import { StudioView } from "./Studio/StudioView.tsx"
import { WebhooksView } from "./Webhooks/WebhooksView.tsx"

const views = ["recordings", "live", "studio", "webhooks", "settings"] as const
type View = (typeof views)[number]

const viewOf = (): View => views.find((view) => location.hash === `#${view}`) ?? "recordings"

/** The view that the URL's fragment names. Each view keeps its scroll position. */
const useView = (): View => {
  const [view, show] = useState(viewOf)
  const places = useRef<Record<View, number>>({ recordings: 0, live: 0, studio: 0, webhooks: 0, settings: 0 })
  const shown = useRef(view)
  useEffect(() => {
    history.scrollRestoration = "manual"
    const look = () => {
      if (viewOf() === shown.current) return
      places.current[shown.current] = window.scrollY
      shown.current = viewOf()
      show(shown.current)
    }
    window.addEventListener("hashchange", look)
    return () => window.removeEventListener("hashchange", look)
  }, [])
  useLayoutEffect(() => window.scrollTo(0, places.current[view]), [view])
  return view
}

const chip = {
  connecting: { kind: "wait", message: "Connecting …" },
  connected: { kind: "good", message: "Connected" },
  waiting: { kind: "bad", message: "Reconnecting …" }
} as const

const Status = () => {
  const state = useSelected(Live.live, ({ state }) => state)
  const alarm = useSelected(Live.live, alarmOf)
  const { kind, message } = chip[state]
  return (
    <div class="status" role="status">
      {alarm !== "" && state === "connected" ? (
        <a class="chip bad" href="#live">
          {alarm}
        </a>
      ) : (
        <span class={`chip ${kind}`}>{message}</span>
      )}
    </div>
  )
}

const ConnectionBanner = () => {
  const message = useSelected(Live.live, ({ state, message }) => (state === "waiting" ? message : ""))
  return (
    <div class="away" role="status">
      {message !== "" && <p>{message}</p>}
    </div>
  )
}

const Logo = () => (
  <svg viewBox="0 0 32 32" role="img" aria-label="Spillway" class="logo">
    <rect width="32" height="32" rx="8" />
    <path d="M6 13h6c5 0 4 9 9 9h5" />
    <path d="M6 19h4c4 0 5 7 10 7h6M12 8h4c5 0 4 9 9 9h1" class="thin" />
  </svg>
)

const useServer = (key: string | undefined) =>
  useEffect(() => {
    if (key === undefined) return undefined
    const stop = new AbortController()
    void Live.follow(stop.signal)
    void List.follow(stop.signal)
    void Removals.restore(stop.signal)
    return () => {
      stop.abort()
      player.close()
    }
  }, [key])

export function App() {
  const { key, refused } = useStore(session)
  const view = useView()
  useServer(key)
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
          <Logo />
          <span aria-hidden="true">Spillway</span>
        </h1>
        <nav aria-label="Views">
          <a href="#recordings" aria-current={view === "recordings" ? "page" : undefined}>
            Recordings
          </a>
          <a href="#live" aria-current={view === "live" ? "page" : undefined}>
            Live view
          </a>
          <a href="#studio" aria-current={view === "studio" ? "page" : undefined}>
            Studio
          </a>
          <a href="#webhooks" aria-current={view === "webhooks" ? "page" : undefined}>
            Webhooks
          </a>
          <a href="#settings" aria-current={view === "settings" ? "page" : undefined}>
            Settings
          </a>
          <a href="docs">API</a>
        </nav>
        <RecordingNow />
        {key !== undefined && <Status />}
        {key !== undefined && (
          <button type="button" class="quiet" onClick={signOut}>
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
        {view === "studio" && key !== undefined && <StudioView />}
        {view === "webhooks" && key !== undefined && <WebhooksView />}
        {view === "settings" && key !== undefined && <SettingsView />}
      </main>
      <footer class="dock">
        {key !== undefined && <ConnectionBanner />}
        <NowPlaying />
      </footer>
    </>
  )
}
