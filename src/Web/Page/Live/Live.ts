/**
 * The server's own state and the last 15 minutes of it: over a stream that opens itself again while somebody looks at the
 * live view, else by asking now and then. A browser has six connections to a server for all of its tabs, and a stream
 * holds one.
 */
import * as Json from "../Json.ts"
import * as Model from "../Model.ts"
import { pause } from "../Pause.ts"
import { ask, askJson, brokeOff, isAbort, wordsFor } from "../Server.ts"
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
  /** What was counted since the node started. */
  readonly troubles: Readonly<Record<string, number>>
}

export interface Live {
  readonly state: "connecting" | "connected" | "waiting"
  readonly words: string
  readonly now: Model.CapturesNow | undefined
  readonly history: ReadonlyArray<Moment>
}

export const live = new Store<Live>({ state: "connecting", words: "", now: undefined, history: [] })

const silenceMillis = 6_000
const pollMillis = 2_000
const hiddenMillis = 10_000
/** Of all tabs one streams. */
const lock = "spillway-live"
const firstPauseMillis = 500
const maxPauseMillis = 5_000

const boundOf = (now: Model.CapturesNow, wanted: string) => now.node?.bounds.find(({ name }) => name === wanted)

const momentOf = (now: Model.CapturesNow): Moment => ({
  at: Date.parse(now.at) / 1000,
  captures: now.total,
  // Not all captures may be among those that are shown.
  bytesPerSecond:
    now.node?.bytes_per_second ?? now.captures.reduce((sum, capture) => sum + capture.bytes_per_second, 0),
  ackLag: Math.max(0, ...now.captures.map((capture) => capture.ack_lag)),
  // A user sees only his own; on the node chunks also wait whose capture has ended.
  queued: boundOf(now, "uploads")?.waiting ?? now.captures.reduce((sum, capture) => sum + capture.queued, 0),
  journal: boundOf(now, "journal")?.used ?? 0,
  memory: now.node?.memory.rss ?? 0,
  troubles: Object.fromEntries((now.node?.troubles ?? []).map(({ count, name }) => [name, count]))
})

const take = (now: Model.CapturesNow): void => {
  const moment = momentOf(now)
  const history = [...live.value.history.filter(({ at }) => at > moment.at - historySeconds && at < moment.at), moment]
  live.set({ state: "connected", words: "", now, history })
}

/** Until the stream ends or is silent. */
const listen = async (stop: AbortSignal): Promise<void> => {
  const own = new AbortController()
  const end = () => own.abort()
  stop.addEventListener("abort", end)
  let timer = setTimeout(end, silenceMillis)
  try {
    const response = await ask("/v1/captures/events", { signal: own.signal })
    const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader()
    let text = ""
    for (;;) {
      const piece = await reader?.read().catch((cause: unknown) => {
        throw isAbort(cause) ? cause : brokeOff
      })
      if (piece === undefined || piece.done) return
      clearTimeout(timer)
      timer = setTimeout(end, silenceMillis)
      const events = (text + piece.value).split("\n\n")
      text = events.pop() ?? ""
      const data =
        events
          .at(-1)
          ?.split("\n")
          .filter((line) => line.startsWith("data:")) ?? []
      if (data.length > 0) take(Json.parse(Model.capturesNow, data.map((line) => line.slice(5)).join("\n")))
    }
  } finally {
    clearTimeout(timer)
    stop.removeEventListener("abort", end)
  }
}

const isWatched = () => location.hash === "#live" && !document.hidden

/** Ends when the live view is opened or left, or the tab is shown or hidden. */
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
    take(await askJson(Model.capturesNow, "/v1/captures", signal))
    await pause(document.hidden ? hiddenMillis : pollMillis, signal)
  }
}

/** Where browsers have no locks (pages that are not secure), every tab streams that is looked at. */
const watch = (signal: AbortSignal): Promise<void> => {
  const { locks }: { readonly locks?: LockManager } = navigator
  if (!isWatched()) return poll(signal)
  if (locks === undefined) return listen(signal)
  return locks.request(lock, { ifAvailable: true }, (held) => (held === null ? poll(signal) : listen(signal)))
}

/** Runs as long as there is a key. */
export async function follow(stop: AbortSignal): Promise<void> {
  live.set({ state: "connecting", words: "", now: undefined, history: [] })
  let wait = firstPauseMillis
  while (!stop.aborted && session.value.key !== undefined) {
    const turned = untilTurned(stop)
    let words = "The server has closed the connection."
    try {
      await watch(turned.signal)
    } catch (cause) {
      words = isAbort(cause) ? "The server has fallen silent." : wordsFor(cause)
    }
    if (stop.aborted) return
    if (turned.signal.aborted) continue
    turned.abort()
    wait = live.value.state === "connected" ? firstPauseMillis : Math.min(maxPauseMillis, wait * 2)
    live.update({ state: "waiting", words })
    await pause(wait, stop)
  }
}
