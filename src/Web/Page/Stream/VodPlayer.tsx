/** Plays a VOD with its chat in time, and reports how much of it is heard. */
import { useEffect, useRef, useState } from "preact/hooks"
import { date } from "../Format.ts"
import { Alert } from "../Outcome.tsx"
import { randomId } from "../RandomId.ts"
import { fetchJson, messageFor, resolveSigned, send } from "../Server.ts"
import * as Model from "./Model.ts"
import { ChatReplay } from "./Replay.ts"
import { ReplayPanel } from "./ReplayPanel.tsx"

/** Interval of the reports. */
const reportMillis = 15_000

/** A longer step of the position is a seek. */
const maxStepSeconds = 2

const listenerItem = "spillway-listener"

/** Kept by the browser, so that a listener counts once. */
const listenerId = (): string => {
  const id = localStorage.getItem(listenerItem) ?? randomId()
  localStorage.setItem(listenerItem, id)
  return id
}

/** Reports to the server how much of a VOD is heard in one playing. */
class PlayReports {
  readonly #session = randomId()
  readonly #vod: string
  #position = 0
  #heard = 0
  #reported = 0

  constructor(vod: string) {
    this.#vod = vod
  }

  /** Call it often while the VOD plays, and after each seek. `position`: seconds. */
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

export function VodPlayer({
  heading: Title,
  onClose,
  vod
}: {
  readonly vod: Model.PublicVod
  /** The level of its titles. */
  readonly heading: "h2" | "h4"
  readonly onClose: () => void
}) {
  const [source, setSource] = useState<Source>()
  const [message, setMessage] = useState("")
  const [replay] = useState(() => (vod.stream === null ? undefined : new ChatReplay(vod.stream, vod.broadcast)))
  const [plays] = useState(() => new PlayReports(vod.id))
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
