/** Sends a source until its last sample is acknowledged. A new connection resumes at the first unacknowledged sample. */
import * as Frames from "./Frames.ts"
import * as Model from "../Model.ts"
import { pause } from "../Pause.ts"
import { fetchJson, Refused, urlOf, messageFor } from "../Server.ts"
import { session } from "../Session.ts"
import type { Source } from "./Source.ts"
import { Store } from "../Store.ts"

/** `key`: the server rejects the key. `failed`: no further tries. */
export type LinkState = "connecting" | "connected" | "waiting" | "key" | "done" | "failed"

export interface Progress {
  readonly state: LinkState
  readonly sent: number
  /** Samples acknowledged: they are on the server's disk. */
  readonly acknowledged: number
  /** Why the link waits or has failed. */
  readonly reason: string
}

/** Samples in the longest message, well below the server's bound of 1 MiB. */
const maxFrameSamples = 128 * 1024
const maxFrameSeconds = 4
const minFrameSeconds = 0.1
/** Unacknowledged audio in flight, which bounds what a new connection sends twice. */
const windowBytes = 4 * 1024 * 1024
const windowSeconds = 60
const maxBufferedBytes = 1024 * 1024
/** The server closes a socket that sends more than 200 messages a second. */
const framesPerSecond = 100
const patienceMillis = 15_000
const firstPauseMillis = 250
const maxPauseMillis = 5_000

const stopped = "Stopped. Audio on the server's disk is kept."

/** Explains a permanent close; undefined for a transient one. */
const finalWords = ({ code, reason }: CloseEvent): string | undefined => {
  if (code === 1003) return "The server does not understand what this page sends. Reload the page."
  if (code === 1009) return "The messages of this page exceed the server's limit."
  return code === 1008 && /is full|bad query|another socket|was deleted/.test(reason)
    ? `The server ended the connection: ${reason}.`
    : undefined
}

/** Explains a close. `notice` is the server's last one: a stopping server can exit before its close frame arrives. */
const closeWords = ({ code, reason }: CloseEvent, notice: string): string => {
  if (code === 1001 || notice === "draining") return "The server stops or restarts."
  const text = reason.replace(/^Retry-After: \d+; /, "")
  return text === "" ? "The connection to the server broke." : `The server closed the connection: ${text}.`
}

/** How a connection ended. `final`: a new one would end the same way. */
interface End {
  readonly reason: string
  readonly final: boolean
  readonly opened: boolean
}

export class Uplink {
  readonly progress = new Store<Progress>({ state: "connecting", sent: 0, acknowledged: 0, reason: "" })
  readonly #conversation: string
  readonly #source: Source
  readonly #stop = new AbortController()
  #acknowledged = 0
  #next = 0
  #pump: () => void = () => {}

  constructor(conversation: string, source: Source) {
    this.#conversation = conversation
    this.#source = source
  }

  /** Call it after the source has grown or ended. */
  readonly wake = (): void => this.#pump()

  /** Stops sending. Acknowledged audio is kept. */
  cancel(): void {
    this.#tell("failed", stopped)
    this.#stop.abort()
  }

  get #finished(): boolean {
    return this.#source.ended && this.#acknowledged >= this.#source.end
  }

  /** Returns when the server has acknowledged everything, or never will. */
  async run(): Promise<void> {
    let wait = firstPauseMillis
    while (!this.#finished && !this.#stop.signal.aborted) {
      const before = this.#acknowledged
      this.#tell("connecting", this.progress.value.reason)
      const { key } = session.value
      const end = key === undefined ? { reason: "", final: false, opened: false } : await this.#connect(key)
      if (this.#finished || this.#stop.signal.aborted) break
      if (end.final) return this.#tell("failed", end.reason)
      const reason = end.opened ? end.reason : await this.#whyNot()
      if (session.value.key === undefined) {
        this.#tell("key", "Enter a valid key; nothing recorded is lost.")
        await this.#newKey()
        continue
      }
      this.#tell("waiting", reason)
      wait = this.#acknowledged > before ? firstPauseMillis : Math.min(maxPauseMillis, wait * 2)
      await pause(wait * (0.75 + Math.random() / 2), this.#stop.signal)
    }
    if (this.#finished) this.#tell("done", "")
  }

  #tell(state: LinkState, reason: string): void {
    if (this.#stop.signal.aborted) return
    this.progress.set({ state, reason, sent: this.#next, acknowledged: this.#acknowledged })
  }

  #newKey(): Promise<void> {
    return new Promise((resolve) => {
      const look = () => {
        if (session.value.key === undefined && !this.#stop.signal.aborted) return
        unwatch()
        resolve()
      }
      const unwatch = session.watch(look)
      this.#stop.signal.addEventListener("abort", look)
      look()
    })
  }

  /** Browsers hide why an upgrade was refused, so another request finds out. */
  async #whyNot(): Promise<string> {
    try {
      await fetchJson(Model.conversations, "/v1/conversations?limit=1", this.#stop.signal)
      return "The server refused the connection. It is full or stopping."
    } catch (cause) {
      return cause instanceof Refused && cause.status === 401 ? "" : messageFor(cause)
    }
  }

  #connect(key: string): Promise<End> {
    const source = this.#source
    const url = urlOf(`/v1/trigger/listen?sample_rate=${source.sampleRate}&audio_timeline=2&ack=1`)
    url.protocol = url.protocol.replace("http", "ws")
    const socket = new WebSocket(url, ["spillway", `bearer.${key}`])
    socket.binaryType = "arraybuffer"
    this.#next = this.#acknowledged
    let opened = false
    let pumping = false
    let heardAt = performance.now()
    let credit = framesPerSecond
    let creditAt = heardAt
    let notice = ""
    let end: (reason: string, final: boolean) => void = () => {}

    const mayStillSend = () => {
      const now = performance.now()
      credit = Math.min(framesPerSecond, credit + ((now - creditAt) / 1000) * framesPerSecond)
      creditAt = now
      const window = Math.min(windowBytes / 2, windowSeconds * source.sampleRate)
      return (
        socket.readyState === WebSocket.OPEN &&
        credit >= 1 &&
        socket.bufferedAmount <= maxBufferedBytes &&
        this.#next - this.#acknowledged < window
      )
    }
    const frameEnd = () => {
      const longest = Math.min(maxFrameSamples, maxFrameSeconds * source.sampleRate)
      const to = Math.min(source.end, source.breakAfter(this.#next), this.#next + longest)
      const whole = source.ended || to < source.end || to - this.#next >= minFrameSeconds * source.sampleRate
      return whole ? to : this.#next
    }
    const pump = async () => {
      if (pumping) return
      pumping = true
      try {
        for (let to = frameEnd(); to > this.#next && mayStillSend(); to = frameEnd()) {
          const from = this.#next
          const pcm = await source.read(from, to)
          if (socket.readyState !== WebSocket.OPEN) break
          credit -= 1
          socket.send(Frames.audio(source.timeOf(from), pcm))
          this.#next = to
          this.#tell("connected", "")
        }
      } catch (cause) {
        end(messageFor(cause), true)
      }
      pumping = false
      if (this.#finished) end("", false)
    }
    this.#pump = () => void pump()

    return new Promise((resolve) => {
      const over = new AbortController()
      const timer = setInterval(() => {
        const isWaiting = this.#next > this.#acknowledged || !opened
        if (!isWaiting) heardAt = performance.now()
        if (performance.now() - heardAt > patienceMillis) end("The server acknowledges nothing.", false)
        else this.#pump()
      }, 100)
      // Does not wait for the server's close frame: a hanging server never sends it.
      end = (reason, final) => {
        if (over.signal.aborted) return
        over.abort()
        clearInterval(timer)
        this.#pump = () => {}
        socket.close(1000)
        resolve({ reason, final, opened })
      }
      const { signal } = over
      this.#stop.signal.addEventListener("abort", () => end("", false), { signal })
      const onOpen = () => {
        opened = true
        heardAt = performance.now()
        socket.send(Frames.conversation(this.#conversation))
        this.#tell("connected", "")
        this.#pump()
      }
      const onMessage = ({ data }: MessageEvent<unknown>) => {
        const message = data instanceof ArrayBuffer ? Frames.decode(data) : { kind: "other" as const }
        if (message.kind === "notice") notice = message.type
        if (message.kind !== "ack" || message.conversation !== this.#conversation) return
        heardAt = performance.now()
        this.#acknowledged = Math.max(this.#acknowledged, Math.min(this.#next, source.sampleAt(message.through)))
        source.release(this.#acknowledged)
        this.#tell("connected", "")
        this.#pump()
      }
      const onClose = (event: CloseEvent) => {
        const final = finalWords(event)
        end(final ?? closeWords(event, notice), final !== undefined)
      }
      socket.addEventListener("open", onOpen, { signal })
      socket.addEventListener("message", onMessage, { signal })
      socket.addEventListener("close", onClose, { signal })
    })
  }
}
