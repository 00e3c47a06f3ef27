/** Recordings of a stream that can be played. */
import { useEffect, useRef, useState } from "preact/hooks"
import { date, duration } from "../Format.ts"
import { pause } from "../Pause.ts"
import { Alert } from "../Outcome.tsx"
import { fetchJson, isAbort, messageFor } from "../Server.ts"
import * as Model from "./Model.ts"

const pageSize = 10
/** When the list is read again after a broadcast has ended: its recording is ready some time later. */
const againMillis = [3_000, 6_000, 12_000, 24_000, 48_000]

export function StreamVods({
  onPlay,
  playing,
  isLive,
  slug
}: {
  readonly slug: string
  /** The id of the recording that plays. */
  readonly playing: string | undefined
  readonly isLive: boolean
  readonly onPlay: (vod: Model.PublicVod) => void
}) {
  const [vods, setVods] = useState<ReadonlyArray<Model.PublicVod>>()
  const [cursor, setCursor] = useState<string | null>(null)
  const [message, setMessage] = useState("")
  const newest = useRef<string>(undefined)
  const wasLive = useRef(false)
  const load = async (after: string | null, signal?: AbortSignal) => {
    setMessage("")
    try {
      const from = after === null ? "" : `&cursor=${encodeURIComponent(after)}`
      const path = `${Model.streamPath(slug)}/vods?page_size=${pageSize}${from}`
      const page = await fetchJson(Model.publicVods, path, signal)
      const isUnchanged = after === null && page.vods[0]?.id === newest.current && newest.current !== undefined
      if (isUnchanged) return
      if (after === null) newest.current = page.vods[0]?.id
      setVods((known) => (after === null ? page.vods : [...(known ?? []), ...page.vods]))
      setCursor(page.cursor)
    } catch (cause) {
      if (!isAbort(cause)) setMessage(messageFor(cause))
    }
  }
  useEffect(() => {
    const stop = new AbortController()
    const read = async () => {
      await load(null, stop.signal)
      if (!wasLive.current || isLive) return
      for (const millis of againMillis) {
        await pause(millis, stop.signal)
        if (stop.signal.aborted) return
        await load(null, stop.signal)
      }
    }
    void read()
    wasLive.current ||= isLive
    return () => stop.abort()
  }, [slug, isLive])
  return (
    <section class="card stream-vods" aria-labelledby="vods-title">
      <h2 id="vods-title">Recordings</h2>
      {vods?.length === 0 && <p class="hint">There are no recordings yet.</p>}
      <ul>
        {vods?.map((vod) => (
          <li key={vod.id} class="row">
            <button
              type="button"
              class={playing === vod.id ? "quiet on" : "quiet"}
              aria-pressed={playing === vod.id}
              aria-label={`Play ${vod.title}, ${date(vod.started_at)}`}
              onClick={() => onPlay(vod)}
            >
              Play
            </button>
            <span class="vod-title">{vod.title}</span>
            <span class="hint">
              {date(vod.started_at)}
              {vod.duration !== null && `, ${duration(vod.duration)}`}
            </span>
          </li>
        ))}
      </ul>
      {cursor !== null && (
        <button type="button" class="quiet" onClick={() => void load(cursor)}>
          Older recordings
        </button>
      )}
      <Alert>{message}</Alert>
    </section>
  )
}
