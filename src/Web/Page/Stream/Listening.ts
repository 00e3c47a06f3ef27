/** Plays the live audio of a stream: connected again while the stream is live, always from now on. */
import { pause } from "../Pause.ts"
import { messageFor, Refused, send, urlOf } from "../Server.ts"
import { session } from "../Session.ts"
import { Store } from "../Store.ts"
import * as Model from "./Model.ts"

interface Listening {
  readonly state: "paused" | "loading" | "playing"
  readonly message: string
}

const firstPauseMillis = 500
const maxPauseMillis = 8_000

const audio = new Audio()
audio.preload = "none"

/** Safari plays Ogg from version 18.4 on. */
const format = audio.canPlayType('audio/ogg; codecs="opus"') === "" ? "wav" : "ogg"

export const listening = new Store<Listening>({ state: "paused", message: "" })

let run = new AbortController()

audio.addEventListener("playing", () => {
  if (!run.signal.aborted) listening.set({ state: "playing", message: "" })
})
audio.addEventListener("waiting", () => {
  if (listening.value.state === "playing") listening.update({ state: "loading" })
})

const pathOf = (slug: string) => `${Model.streamPath(slug)}/audio?format=${format}`

/** An audio element sends no header. Only private streams need the key. */
const withKey = (url: URL, isPrivate: boolean): URL => {
  const { key } = session.value
  if (isPrivate && key !== undefined) url.searchParams.set("access_token", key)
  return url
}

/** Plays until the connection ends. */
const playOnce = (url: URL, signal: AbortSignal): Promise<void> =>
  new Promise((resolve, reject) => {
    const settled = new AbortController()
    const settle = (end: () => void) => () => {
      settled.abort()
      end()
    }
    audio.addEventListener("ended", settle(resolve), { signal: settled.signal })
    audio.addEventListener("error", settle(resolve), { signal: settled.signal })
    signal.addEventListener("abort", settle(resolve), { signal: settled.signal })
    audio.src = url.href
    audio.play().catch((cause: unknown) => {
      const isBlocked = cause instanceof DOMException && cause.name === "NotAllowedError"
      if (isBlocked) settle(() => reject(new Error("The browser does not allow sound here. Press play again.")))()
    })
  })

/** Why there is no audio, by a request without a body. Undefined if it can be tried again at once. */
const obstacle = async (slug: string, signal: AbortSignal): Promise<string | undefined> => {
  try {
    await send(pathOf(slug), { signal, method: "HEAD" })
    return undefined
  } catch (cause) {
    if (cause instanceof Refused && cause.status === 404) return "The stream is not live now."
    return cause instanceof Refused ? "The audio is not available at the moment." : messageFor(cause)
  }
}

export function listen(slug: string, isPrivate: boolean): void {
  leave()
  run = new AbortController()
  const { signal } = run
  const follow = async () => {
    listening.set({ state: "loading", message: "" })
    for (let wait = firstPauseMillis; !signal.aborted; wait = Math.min(maxPauseMillis, wait * 2)) {
      await playOnce(withKey(urlOf(pathOf(slug)), isPrivate), signal)
      if (signal.aborted) return
      if (listening.value.state === "playing") wait = firstPauseMillis
      const message = await obstacle(slug, signal)
      if (signal.aborted) return
      listening.set({ state: "loading", message: message === undefined ? "" : `${message} This page tries again.` })
      await pause(wait, signal)
    }
  }
  follow().catch((cause: unknown) => {
    if (signal.aborted) return
    leave()
    listening.update({ message: messageFor(cause) })
  })
}

/** Stops, and drops what is buffered: resumed audio would be late. */
export function leave(): void {
  run.abort()
  audio.pause()
  audio.removeAttribute("src")
  audio.load()
  listening.set({ state: "paused", message: "" })
}

export function setVolume(volume: number): void {
  audio.volume = volume
}
