/** A stream as its audience sees it: its fields, whether it is live, and its metrics, streamed, or polled where that is not allowed. */
import { readEvents } from "../EventStream.ts"
import { pause } from "../Pause.ts"
import { fetchJson, isAbort, messageFor, Refused } from "../Server.ts"
import { Store } from "../Store.ts"
import * as Model from "./Model.ts"

export interface Audience {
  /** `missing`: there is none, or it can't be read without another key. */
  readonly state: "loading" | "shown" | "missing"
  readonly stream: Model.Stream | undefined
  readonly metrics: Model.Metrics | undefined
  /** Why the present state is not known. */
  readonly message: string
}

/** The server sends metrics every 3 seconds. */
const silenceMillis = 15_000
const pollMillis = 10_000
const firstPauseMillis = 1_000
const maxPauseMillis = 15_000

export const audience = new Store<Audience>({
  state: "loading",
  stream: undefined,
  metrics: undefined,
  message: ""
})

const broadcastOf = (live: Model.Stream["live"]): string => `${live?.broadcast ?? ""} ${live?.reconnecting ?? ""}`

/** Reads the stream, and follows it until the connection ends or the stream has begun or ended. */
const watch = async (slug: string, stop: AbortSignal): Promise<void> => {
  const stream = await fetchJson(Model.stream, Model.streamPath(slug), stop)
  audience.update({ state: "shown", stream, message: "" })
  const known = broadcastOf(stream.live)
  const turned = new AbortController()
  const take = (metrics: Model.Metrics) => {
    audience.update({ metrics, message: "" })
    // Its title can be another one.
    if (broadcastOf(metrics.live) !== known) turned.abort()
  }
  const both = AbortSignal.any([stop, turned.signal])
  // Hidden pages leave the browser's six connections to visible ones.
  const turn = () => turned.abort()
  document.addEventListener("visibilitychange", turn, { signal: both })
  const poll = async () => {
    take(await fetchJson(Model.metrics, `${Model.streamPath(slug)}/metrics`, both))
    await pause(pollMillis, both)
  }
  try {
    if (document.hidden) return await poll()
    await readEvents(Model.metrics, `${Model.streamPath(slug)}/events`, both, silenceMillis, take)
  } catch (cause) {
    if (turned.signal.aborted) return
    // The server has as many readers of events as it allows.
    if (!(cause instanceof Refused && [429, 503].includes(cause.status))) throw cause
    await poll()
  } finally {
    document.removeEventListener("visibilitychange", turn)
  }
}

/** Until `stop`. */
export async function follow(slug: string, stop: AbortSignal): Promise<void> {
  audience.set({ state: "loading", stream: undefined, metrics: undefined, message: "" })
  let wait = firstPauseMillis
  while (!stop.aborted) {
    try {
      await watch(slug, stop)
      wait = firstPauseMillis
      await pause(wait / 2, stop)
    } catch (cause) {
      if (stop.aborted) return
      if (cause instanceof Refused && [400, 403, 404].includes(cause.status))
        audience.set({ state: "missing", stream: undefined, metrics: undefined, message: "" })
      else if (!isAbort(cause)) audience.update({ message: messageFor(cause) })
      await pause(wait, stop)
      wait = Math.min(maxPauseMillis, wait * 2)
    }
  }
}
