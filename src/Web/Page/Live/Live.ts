/** The server's state and its last 15 minutes: polled, or streamed while visible, by one tab: browsers allow six connections. */
import { readEvents } from "../EventStream.ts"
import * as Model from "../Model.ts"
import { pause } from "../Pause.ts"
import { fetchJson, isAbort, messageFor } from "../Server.ts"
import { session } from "../Session.ts"
import { Store } from "../Store.ts"

export const historySeconds = 15 * 60

export interface Moment {
  /** Unix seconds. */
  readonly at: number
  readonly captures: number
  readonly bytesPerSecond: number
  readonly ackLag: number
  readonly queued: number
  readonly journal: number
  readonly memory: number
  /** Counters since the node's start. */
  readonly troubles: Readonly<Record<string, number>>
}

export interface Live {
  readonly state: "connecting" | "connected" | "waiting"
  readonly message: string
  readonly now: Model.CapturesSnapshot | undefined
  readonly history: ReadonlyArray<Moment>
}

export const live = new Store<Live>({ state: "connecting", message: "", now: undefined, history: [] })

const silenceMillis = 6_000
const pollMillis = 2_000
const hiddenMillis = 10_000
/** Lock that lets only one tab stream. */
const lock = "spillway-live"
const firstPauseMillis = 500
const maxPauseMillis = 5_000

const boundOf = (now: Model.CapturesSnapshot, wanted: string) => now.node?.bounds.find(({ name }) => name === wanted)

const momentOf = (now: Model.CapturesSnapshot): Moment => ({
  at: Date.parse(now.at) / 1000,
  captures: now.total,
  // The list of captures is limited, so the node's own total comes first.
  bytesPerSecond:
    now.node?.bytes_per_second ?? now.captures.reduce((sum, capture) => sum + capture.bytes_per_second, 0),
  ackLag: Math.max(0, ...now.captures.map((capture) => capture.ack_lag)),
  // The node's total includes chunks of ended captures; users see the sum of their own.
  queued: boundOf(now, "uploads")?.waiting ?? now.captures.reduce((sum, capture) => sum + capture.queued, 0),
  journal: boundOf(now, "journal")?.used ?? 0,
  memory: now.node?.memory.rss ?? 0,
  troubles: Object.fromEntries((now.node?.troubles ?? []).map(({ count, name }) => [name, count]))
})

const take = (now: Model.CapturesSnapshot): void => {
  const moment = momentOf(now)
  const history = [...live.value.history.filter(({ at }) => at > moment.at - historySeconds && at < moment.at), moment]
  live.set({ state: "connected", message: "", now, history })
}

const listen = (stop: AbortSignal): Promise<void> =>
  readEvents(Model.capturesSnapshot, "/v1/captures/events", stop, silenceMillis, take)

const isWatched = () => location.hash === "#live" && !document.hidden

/** Aborts when the live view opens or closes, or the tab is shown or hidden. */
const untilTurned = (stop: AbortSignal): AbortController => {
  const turned = new AbortController()
  const end = () => turned.abort()
  stop.addEventListener("abort", end, { signal: turned.signal })
  window.addEventListener("hashchange", end, { signal: turned.signal })
  document.addEventListener("visibilitychange", end, { signal: turned.signal })
  return turned
}

const poll = async (signal: AbortSignal): Promise<void> => {
  while (!signal.aborted) {
    take(await fetchJson(Model.capturesSnapshot, "/v1/captures", signal))
    await pause(document.hidden ? hiddenMillis : pollMillis, signal)
  }
}

/** Insecure pages have no Web Locks: there every visible tab streams. */
const watch = (signal: AbortSignal): Promise<void> => {
  const { locks }: { readonly locks?: LockManager } = navigator
  if (!isWatched()) return poll(signal)
  if (locks === undefined) return listen(signal)
  return locks.request(lock, { ifAvailable: true }, (held) => (held === null ? poll(signal) : listen(signal)))
}

export async function follow(stop: AbortSignal): Promise<void> {
  live.set({ state: "connecting", message: "", now: undefined, history: [] })
  let wait = firstPauseMillis
  while (!stop.aborted && session.value.key !== undefined) {
    const turned = untilTurned(stop)
    let message = "The server has closed the connection."
    try {
      await watch(turned.signal)
    } catch (cause) {
      message = isAbort(cause) ? "The server stopped sending." : messageFor(cause)
    }
    if (stop.aborted) return
    if (turned.signal.aborted) continue
    turned.abort()
    wait = live.value.state === "connected" ? firstPauseMillis : Math.min(maxPauseMillis, wait * 2)
    live.update({ state: "waiting", message })
    await pause(wait, stop)
  }
}
