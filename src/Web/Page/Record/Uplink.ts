/** Sends a source until its last sample is acknowledged. */
import { CaptureClient, type Status } from "../../../Client.ts"
import { messageFor, silent, urlOf } from "../Server.ts"
import { rejectKey, session } from "../Session.ts"
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
  /** Why the server does not acknowledge what it receives; empty once it does. */
  readonly notice: string
}

/** Samples in the longest message: longer ones wait for their turn at the server. */
const maxFrameSamples = 60 * 1024
const maxFrameSeconds = 4
const minFrameSeconds = 0.1
/** Bound of what the client holds, and a new connection sends twice; the rest stays in the source. */
const windowBytes = 4 * 1024 * 1024
const windowSeconds = 60
const maxBackoffMillis = 5_000

const unknownStreamKey = "The server does not accept this stream key: it is wrong, or was replaced."

const reasonOf = ({ closeCode, httpStatus, reason }: Status): string => {
  if (closeCode === 1001) return "The server stops or restarts."
  if (closeCode === 1003) return "The server does not understand what this page sends. Reload the page."
  if (closeCode === 1009) return "The messages of this page exceed the server's limit."
  if (httpStatus === 426) return "The server refused the connection. It is full or stopping."
  return reason !== "" && closeCode === undefined && httpStatus === undefined ? silent.message : reason
}

export class Uplink {
  readonly progress = new Store<Progress>({ state: "connecting", sent: 0, acknowledged: 0, reason: "", notice: "" })
  readonly #conversation: string
  readonly #source: Source
  readonly #streamKey: string | undefined
  #client: CaptureClient | undefined
  #key: string | undefined
  #isStopped = false
  #notice = ""
  /** Bytes that were acknowledged when the notice came. */
  #noticedAt = 0
  #wake: () => void = () => {}

  /** With a stream key it goes live. Without one, the key of the session is used. */
  constructor(conversation: string, source: Source, streamKey?: string) {
    this.#conversation = conversation
    this.#source = source
    this.#streamKey = streamKey
  }

  /** Call it after the source has grown or ended. */
  readonly wake = (): void => this.#wake()

  /** Stops sending. Acknowledged audio is kept. */
  cancel(): void {
    this.#stop("failed", "Stopped. Audio on the server's disk is kept.")
  }

  /** Returns when the server has acknowledged everything, or never will. */
  async run(): Promise<void> {
    if (this.#isStopped) return
    const { sampleRate } = this.#source
    const client = new CaptureClient({
      url: urlOf("/").href,
      key: this.#streamKey ?? (() => this.#nextKey()),
      conversation: this.#conversation,
      sampleRate,
      clientKind: "spillway-page",
      bufferBytes: Math.min(windowBytes, 2 * windowSeconds * sampleRate),
      maxBackoffMillis,
      maxRetryAfterMillis: Infinity,
      retryRefusals: true,
      onNotice: ({ detail, type }) => {
        if (type === "limit") this.#onLimit(client, detail)
      },
      onChange: () => this.#onChange(client)
    })
    this.#client = client
    void client.ended.then(() => this.#wake())
    try {
      await this.#feed(client)
    } catch (cause) {
      this.#stop("failed", messageFor(cause))
    }
    const end = await client.close({ deadlineMillis: Infinity })
    const isUnstored = client.totals.dropped > 0 && this.#streamKey === undefined
    if (isUnstored) this.#stop("failed", "The server has not stored all of it, as the user's settings say.")
    else if (end.cause === "complete") this.#stop("done", "")
    else this.#stop("failed", reasonOf(end))
  }

  #stop(state: LinkState, reason: string): void {
    this.#tell(state, reason)
    this.#isStopped = true
    void this.#client?.close({ deadlineMillis: 0 })
  }

  #tell(state: LinkState, reason: string): void {
    if (this.#isStopped) return
    const { accepted, acknowledged, unsent } = this.#client?.totals ?? { accepted: 0, acknowledged: 0, unsent: 0 }
    if (acknowledged > this.#noticedAt) this.#notice = ""
    this.progress.set({
      state,
      reason,
      notice: this.#notice,
      sent: (accepted - unsent) / 2,
      acknowledged: acknowledged / 2
    })
  }

  #onChange(client: CaptureClient): void {
    const { status, totals } = client
    const { httpStatus, state } = status
    this.#source.release(totals.acknowledged / 2)
    if (this.#streamKey !== undefined) {
      if (state === "waiting" && httpStatus === 401) return this.#stop("failed", unknownStreamKey)
      return state === "closed" || state === "failed" ? undefined : this.#tell(state, reasonOf(status))
    }
    if (state === "waiting" && httpStatus === 401) rejectKey(this.#key)
    if (session.value.key === undefined && state !== "connected") this.#needKey()
    else if (state !== "closed" && state !== "failed") this.#tell(state, reasonOf(status))
  }

  #onLimit(client: CaptureClient, detail: string): void {
    this.#notice = `The server says: ${detail}.`
    this.#noticedAt = client.totals.acknowledged
    this.#onChange(client)
  }

  #needKey(): void {
    this.#tell("key", "Enter a valid key; nothing recorded is lost.")
  }

  #nextKey(): Promise<string> {
    return new Promise((resolve) => {
      const look = () => {
        const { key } = session.value
        if (key === undefined) return this.#needKey()
        unwatch()
        this.#key = key
        resolve(key)
      }
      const unwatch = session.watch(look)
      look()
    })
  }

  /** Returns when the source has ended or the client has failed. */
  async #feed(client: CaptureClient): Promise<void> {
    const source = this.#source
    const longest = Math.min(maxFrameSamples, maxFrameSeconds * source.sampleRate)
    let next = 0
    while (!this.#isStopped && client.status.state !== "failed") {
      const to = Math.min(source.end, source.breakAfter(next), next + longest)
      const isWhole = source.ended || to < source.end || to - next >= minFrameSeconds * source.sampleRate
      if (to > next && isWhole) {
        if (!(await client.ready(2 * (to - next)))) return
        client.send(source.timeOf(next), await source.read(next, to))
        next = to
      } else if (source.ended) return
      else {
        await new Promise<void>((resolve) => {
          this.#wake = resolve
        })
      }
    }
  }
}
