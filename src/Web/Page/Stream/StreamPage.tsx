/** The public page of a stream, `/s/{slug}`: live audio with the chat beside it, and recordings. */
import { render } from "preact"
import { useEffect, useState } from "preact/hooks"
import { ChatPanel } from "../Chat/ChatPanel.tsx"
import { KeyEntry } from "../Chat/KeyEntry.tsx"
import { count, time } from "../Format.ts"
import { PlayButton } from "../Play/PlayButton.tsx"
import { session, signOut } from "../Session.ts"
import { useSelected, useStore } from "../Store.ts"
import { audience, follow } from "./Audience.ts"
import * as Listening from "./Listening.ts"
import type { Metrics, PublicVod, Stream } from "./Model.ts"
import { StreamVods } from "./StreamVods.tsx"
import { VodPlayer } from "./VodPlayer.tsx"

const slug = decodeURIComponent(location.pathname.split("/").at(-1) ?? "")

const states = { paused: "Paused", loading: "Loading …", playing: "Playing live" } as const

const LiveAudio = ({ stream }: { readonly stream: Stream }) => {
  const { message, state } = useStore(Listening.listening)
  const isLive = stream.live !== null
  useEffect(() => {
    if (!isLive) Listening.leave()
  }, [isLive])
  if (!isLive) return null
  return (
    <div class="row live-audio">
      <PlayButton
        label={state === "paused" ? "Listen live" : "Stop listening"}
        isPlaying={state !== "paused"}
        onPress={() =>
          state === "paused" ? Listening.listen(slug, stream.visibility === "private") : Listening.leave()
        }
      />
      <span role="status">{message === "" ? states[state] : message}</span>
      <label>
        Volume
        <input
          type="range"
          min={0}
          max={1}
          step={0.05}
          defaultValue="1"
          onInput={(event) => Listening.setVolume(Number(event.currentTarget.value))}
        />
      </label>
    </div>
  )
}

const Badge = ({ metrics, stream: { live } }: { readonly stream: Stream; readonly metrics: Metrics | undefined }) => (
  <p class="row badge">
    <span role="status">
      {live === null ? (
        <span class="chip wait">Not live</span>
      ) : (
        <span class="chip live">{live.reconnecting ? "Live, reconnecting" : "Live"}</span>
      )}
    </span>
    {live !== null && (
      <span class="hint">
        since {time(live.started_at)}
        {metrics !== undefined && `, ${count(metrics.listeners)} ${metrics.listeners === 1 ? "listener" : "listeners"}`}
      </span>
    )}
  </p>
)

const Shown = ({ stream }: { readonly stream: Stream }) => {
  const { metrics } = useStore(audience)
  const [vod, setVod] = useState<PublicVod>()
  const close = () => {
    setVod(undefined)
    document.getElementById("title")?.focus()
  }
  return (
    <div class="watch">
      <div class="card about">
        <h1 id="title" tabIndex={-1} dir="auto">
          {stream.title}
        </h1>
        <Badge stream={stream} metrics={metrics} />
        <LiveAudio stream={stream} />
        {stream.description !== "" && (
          <p class="description" dir="auto">
            {stream.description}
          </p>
        )}
      </div>
      {vod === undefined ? (
        <ChatPanel slug={slug} heading="h2" />
      ) : (
        <VodPlayer key={vod.id} vod={vod} heading="h2" onClose={close} />
      )}
      <StreamVods
        slug={slug}
        playing={vod?.id}
        isLive={stream.live !== null}
        onPlay={(chosen) => {
          Listening.leave()
          setVod(chosen)
        }}
      />
    </div>
  )
}

const Missing = () => (
  <section class="card" aria-labelledby="title">
    <h1 id="title">There is no such stream</h1>
    <p>It may be private, or deleted, or have another address by now.</p>
    <KeyEntry purpose="If it is private: enter a key that may listen to it" />
  </section>
)

const Page = () => {
  const { message, state, stream } = useStore(audience)
  const key = useSelected(session, ({ key }) => key)
  useEffect(() => {
    const stop = new AbortController()
    void follow(slug, stop.signal)
    return () => stop.abort()
  }, [key])
  const title = stream?.title ?? (state === "missing" ? "No such stream" : "")
  useEffect(() => {
    document.title = `${stream?.live === null || stream === undefined ? "" : "● "}${title === "" ? "" : `${title} – `}Spillway`
  }, [title, stream?.live === null])
  return (
    <>
      <header class="top">
        <a href="./">Spillway</a>
        {key !== undefined && (
          <button type="button" class="quiet" onClick={signOut}>
            Forget key
          </button>
        )}
      </header>
      <main id="main">
        <div role="status">
          {message !== "" && <p class="problem">{message}</p>}
          {state === "loading" && message === "" && <p class="hint">Waiting for the server …</p>}
        </div>
        {state === "missing" && <Missing />}
        {stream !== undefined && <Shown stream={stream} />}
      </main>
    </>
  )
}

const root = document.getElementById("page")
if (root !== null) {
  root.replaceChildren()
  render(<Page />, root)
}
