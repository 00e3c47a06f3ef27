/** Plays a VOD with its chat in time, and reports how much of it is heard. */
import { useEffect, useRef, useState } from "preact/hooks"
import { clock, date } from "../Format.ts"
import { Alert } from "../Outcome.tsx"
import { fetchJson, messageFor, resolveSigned, send } from "../Server.ts"
import { useStore } from "../Store.ts"
import * as Model from "./Model.ts"
import { ChatReplay } from "./Replay.ts"

const reportMillis = 15_000
/** A longer step of the position is a seek. */
const maxStepSeconds = 2

/** A random id. `crypto.randomUUID` exists on secure pages only. */
const randomId = () =>
  Array.from(crypto.getRandomValues(new Uint8Array(12)), (byte) => byte.toString(16).padStart(2, "0")).join("")

const listenerItem = "spillway-listener"

/** Kept by the browser, so that a listener counts once. */
const listenerId = (): string => {
  const id = localStorage.getItem(listenerItem) ?? randomId()
  localStorage.setItem(listenerItem, id)
  return id
}

interface Source {
  readonly urls: Model.VodUrls
  /** Of the audio file that plays. 0 if all are one file. */
  readonly file: number
  /** Seconds of the file at which it begins. */
  readonly at: number
}

/** Used where the object store is of this origin: others name the file by the URL. */
const fileName = ({ started_at, title }: Model.PublicVod, { content_type }: Model.VodUrls): string =>
  `${title} ${started_at.slice(0, 10)}.${content_type.startsWith("audio/ogg") ? "ogg" : "wav"}`

/** Milliseconds since the start of the broadcast. The whole file leaves out pauses of over 90 seconds. */
const offsetOf = (vod: Model.PublicVod, { file, urls: { files, url } }: Source, position: number): number => {
  const start = Date.parse(vod.started_at)
  let rest = position
  const played = url === null ? files.slice(file) : files
  for (const { duration, started_at } of played) {
    if (rest < duration || url === null) return Date.parse(started_at) + rest * 1_000 - start
    rest -= duration
  }
  const last = files.at(-1)
  return last === undefined ? 0 : Date.parse(last.started_at) + last.duration * 1_000 - start
}

/** Reports the seconds that were heard in this playing. */
class Plays {
  readonly #session = randomId()
  readonly #vod: string
  #position = 0
  #heard = 0
  #reported = 0

  constructor(vod: string) {
    this.#vod = vod
  }

  reach(position: number): void {
    const step = position - this.#position
    if (step > 0 && step < maxStepSeconds) this.#heard += step
    this.#position = position
  }

  /** What is not reported is in the next report. */
  report(): void {
    if (this.#heard === this.#reported) return
    this.#reported = this.#heard
    const json = { session: this.#session, listener: listenerId(), seconds: Math.round(this.#heard * 10) / 10 }
    const signal = AbortSignal.timeout(reportMillis)
    send(`${Model.vodPath(this.#vod)}/plays`, { method: "POST", json, signal, keepalive: true }).catch(() => {})
  }
}

type Heading = "h2" | "h4"

const ReplayPanel = ({ heading: Title, replay }: { readonly heading: Heading; readonly replay: ChatReplay }) => {
  const { message, messages } = useStore(replay.state)
  const log = useRef<HTMLDivElement>(null)
  useEffect(() => log.current?.scrollTo(0, log.current.scrollHeight), [messages])
  return (
    <section class="card chat" aria-labelledby="replay-title">
      <Title id="replay-title">Chat of this recording</Title>
      <div ref={log} class="chat-log" role="region" aria-label="Messages up to this moment" tabIndex={0}>
        {messages.length === 0 && <p class="hint">No messages up to this moment.</p>}
        <ol>
          {messages.map(({ id, stream_offset_ms, text, uid }) => (
            <li key={id} class="message">
              <p>
                <span class="at">{clock((stream_offset_ms ?? 0) / 1_000)}</span> <bdi class="author">{uid}</bdi>{" "}
                <span class="text" dir="auto">
                  {text}
                </span>
              </p>
            </li>
          ))}
        </ol>
      </div>
      <div role="status">{message !== "" && <p class="hint">{message}</p>}</div>
    </section>
  )
}

export function VodPlayer({
  heading: Title,
  onClose,
  vod
}: {
  readonly vod: Model.PublicVod
  /** The level of its titles. */
  readonly heading: Heading
  readonly onClose: () => void
}) {
  const [source, setSource] = useState<Source>()
  const [message, setMessage] = useState("")
  const [replay] = useState(() => (vod.stream === null ? undefined : new ChatReplay(vod.stream, vod.broadcast)))
  const [plays] = useState(() => new Plays(vod.id))
  const audio = useRef<HTMLAudioElement>(null)
  const title = useRef<HTMLHeadingElement>(null)

  const load = async (file: number, at: number) => {
    setMessage("")
    try {
      const urls = await fetchJson(Model.vodUrls, `${Model.vodPath(vod.id)}/urls`)
      const files = urls.files.toSorted((a, b) => Date.parse(a.started_at) - Date.parse(b.started_at))
      setSource({ urls: { ...urls, files }, file, at })
    } catch (cause) {
      setMessage(messageFor(cause))
    }
  }
  useEffect(() => {
    title.current?.focus()
    void load(0, 0)
    const timer = setInterval(() => plays.report(), reportMillis)
    const leave = () => plays.report()
    document.addEventListener("visibilitychange", leave)
    return () => {
      clearInterval(timer)
      document.removeEventListener("visibilitychange", leave)
      plays.report()
    }
  }, [])

  const show = (source: Source, position: number) => {
    plays.reach(position)
    replay?.show(offsetOf(vod, source, position))
  }
  const fail = (source: Source) => {
    const at = audio.current?.currentTime ?? 0
    if (Date.now() > Date.parse(source.urls.expires_at)) void load(source.file, at)
    else setMessage("The recording can't be played: its audio is not available, or the browser can't decode it.")
  }
  const url = source === undefined ? undefined : (source.urls.url ?? source.urls.files[source.file]?.url)
  return (
    <>
      <section class="card vod-player" aria-label={`Recording: ${vod.title}`}>
        <div class="row">
          <Title ref={title} tabIndex={-1}>
            {vod.title}
          </Title>
          <button type="button" class="quiet" onClick={onClose}>
            Close
          </button>
        </div>
        <p class="hint">{date(vod.started_at)}</p>
        {vod.description !== "" && <p class="description">{vod.description}</p>}
        {source !== undefined && url !== undefined && (
          <>
            <audio
              key={url}
              ref={audio}
              controls
              autoplay
              aria-label={vod.title}
              src={resolveSigned(url).href}
              onLoadedMetadata={(event) => {
                if (source.at > 0) event.currentTarget.currentTime = source.at
              }}
              onTimeUpdate={(event) => show(source, event.currentTarget.currentTime)}
              onSeeked={(event) => show(source, event.currentTarget.currentTime)}
              onPause={() => plays.report()}
              onEnded={() => {
                plays.report()
                const isLast = source.urls.url !== null || source.file + 1 >= source.urls.files.length
                if (!isLast) setSource({ ...source, file: source.file + 1, at: 0 })
              }}
              onError={() => fail(source)}
            />
            <a class="quiet" href={resolveSigned(url).href} download={fileName(vod, source.urls)}>
              Download
            </a>
          </>
        )}
        <Alert>{message}</Alert>
      </section>
      {replay !== undefined && <ReplayPanel replay={replay} heading={Title} />}
    </>
  )
}
