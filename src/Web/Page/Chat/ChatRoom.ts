/** The chat of a stream as its socket tells it: connected again after the last change that was received, so that none is missed. */
import * as Json from "../Json.ts"
import { pause } from "../Pause.ts"
import { randomId } from "../RandomId.ts"
import { fetchJson, messageFor, Refused, urlOf } from "../Server.ts"
import { session } from "../Session.ts"
import { Store } from "../Store.ts"
import * as Model from "./Model.ts"

export interface RoomState {
  /** Oldest first, at most `maxMessages`. */
  readonly messages: ReadonlyArray<Model.Message>
  readonly hasOlder: boolean
  /** `ended`: it does not connect again by itself. */
  readonly link: "connecting" | "connected" | "waiting" | "ended"
  /** Why it waits or has ended. */
  readonly reason: string
  readonly isEnabled: boolean
  readonly slowModeSeconds: number
  /** Undefined without a key. */
  readonly you: Model.You | undefined
  /** Of the reader. */
  readonly sanction: Model.Sanction | undefined
  /** Counts those that began or ended here, of anyone. */
  readonly sanctions: number
  /** A message that the server has neither accepted nor rejected. */
  readonly isPosting: boolean
  /** A message that was rejected, and why. */
  readonly rejected: { readonly text: string; readonly detail: string } | undefined
  /** Unix milliseconds before which a message would be rejected. */
  readonly postAfter: number
}

/** Messages that are kept. Beyond this, the oldest are dropped, and "Older messages" loads them again. */
const maxMessages = 300
const pageSize = 50

const firstPauseMillis = 500
const maxPauseMillis = 15_000
/** Longest time for the answer to a message. Then the connection is replaced, and the message sent again. */
const answerMillis = 10_000

const closeCodes = { policy: 1008, later: 1013, banned: 4003, noStream: 4004, slow: 4029 } as const

/** A random suffix, so that clients do not return all at once. */
const spread = (millis: number) => millis * (0.5 + Math.random())

const secondsIn = (reason: string) => Number(/^Retry-After: (\d+)/.exec(reason)?.[1] ?? 5)

interface Post {
  readonly nonce: string
  readonly text: string
}

/** How a connection ended. */
interface End {
  readonly code: number
  readonly reason: string
  /** Whether the server had greeted. */
  readonly wasOpen: boolean
}

export class ChatRoom {
  readonly state = new Store<RoomState>({
    messages: [],
    hasOlder: false,
    link: "connecting",
    reason: "",
    isEnabled: true,
    slowModeSeconds: 0,
    you: undefined,
    sanction: undefined,
    sanctions: 0,
    isPosting: false,
    rejected: undefined,
    postAfter: 0
  })
  readonly #slug: string
  /** The last change that was received. */
  #last = 0
  #socket: WebSocket | undefined
  #pending: Post | undefined
  #answerTimer: ReturnType<typeof setTimeout> | undefined

  constructor(slug: string) {
    this.#slug = slug
  }

  /** Returns when `stop` aborts, or the room does not connect again by itself. */
  async run(stop: AbortSignal): Promise<void> {
    stop.addEventListener("abort", () => this.#socket?.close(), { once: true })
    let wait = firstPauseMillis
    let isRead = false
    while (!stop.aborted) {
      try {
        // A failed connection says nothing about its cause: a request does.
        if (!isRead) await this.#read(stop)
      } catch (cause) {
        if (stop.aborted) return
        if (cause instanceof Refused && ![429, 503].includes(cause.status)) return this.#end(messageFor(cause))
        this.state.update({ link: "waiting", reason: messageFor(cause) })
        await pause(spread(wait), stop)
        wait = Math.min(maxPauseMillis, wait * 2)
        continue
      }
      const end = await this.#connect(stop)
      if (stop.aborted) return
      const { code, reason, wasOpen } = end
      isRead = wasOpen
      if (code === closeCodes.banned)
        return this.#end(`You are banned from this chat${reason.replace(/^[^:]*/, "") || "."}`)
      if (code === closeCodes.noStream) return this.#end("This stream is gone, or you may not read it any more.")
      if (code === closeCodes.policy) return this.#end(`The server has closed the chat: ${reason}.`)
      wait = wasOpen ? firstPauseMillis : Math.min(maxPauseMillis, wait * 2)
      const isFull = code === closeCodes.later
      this.state.update({
        link: "waiting",
        reason: isFull
          ? `The chat is full: ${reason.replace(/^Retry-After: \d+; /, "")}. This page tries again.`
          : "The connection to the chat broke. This page reconnects automatically."
      })
      await pause(isFull ? spread(secondsIn(reason) * 1_000) : code === closeCodes.slow ? 0 : spread(wait), stop)
    }
  }

  /** One message at a time. It is sent again after a reconnection, and posted once. */
  post(text: string): void {
    if (this.#pending !== undefined) return
    this.#pending = { nonce: randomId(), text }
    this.state.update({ isPosting: true, rejected: undefined })
    this.#sendPending()
  }

  async older(): Promise<void> {
    const [first] = this.state.value.messages
    const before = first === undefined ? "" : `&before_id=${first.id}`
    const page = await this.#page(`limit=${pageSize}${before}`)
    const older = page.messages.filter(({ id }) => first === undefined || id < first.id).toReversed()
    this.state.update({ messages: [...older, ...this.state.value.messages], hasOlder: page.has_more })
  }

  #page(query: string, signal?: AbortSignal) {
    return fetchJson(Model.messages, `${Model.pathOf(this.#slug)}/messages?${query}`, signal)
  }

  #end(reason: string): void {
    clearTimeout(this.#answerTimer)
    this.state.update({ link: "ended", reason, isPosting: false })
  }

  async #read(signal: AbortSignal): Promise<void> {
    const { enabled, slow_mode_seconds, you } = await fetchJson(
      Model.state,
      `${Model.pathOf(this.#slug)}/settings`,
      signal
    )
    this.state.update({
      isEnabled: enabled,
      slowModeSeconds: slow_mode_seconds,
      you: you ?? undefined,
      sanction: you?.ban ?? undefined
    })
    if (this.#last > 0) return
    const { has_more, messages } = await this.#page(`limit=${pageSize}`, signal)
    this.#last = messages[0]?.id ?? 0
    this.state.update({ messages: messages.toReversed(), hasOlder: has_more })
  }

  #connect(stop: AbortSignal): Promise<End> {
    return new Promise((resolve) => {
      const url = urlOf(`${Model.pathOf(this.#slug)}?after_id=${this.#last}`)
      url.protocol = url.protocol.replace("http", "ws")
      const { key } = session.value
      const socket = new WebSocket(url, key === undefined ? ["spillway"] : ["spillway", `bearer.${key}`])
      let wasOpen = false
      this.#socket = socket
      socket.addEventListener("message", ({ data }: MessageEvent<unknown>) => {
        wasOpen = true
        if (!stop.aborted && typeof data === "string") this.#take(data)
      })
      socket.addEventListener("close", ({ code, reason }) => {
        clearTimeout(this.#answerTimer)
        this.#socket = undefined
        resolve({ code, reason, wasOpen })
      })
      if (stop.aborted) socket.close()
    })
  }

  #take(data: string): void {
    const { id, type } = Json.parse(Model.frame, data)
    // An `accepted` names a message, which comes by itself.
    if (id !== undefined && type !== "accepted") {
      if (id <= this.#last) return
      this.#last = id
    }
    const uid = this.state.value.you?.uid
    switch (type) {
      case "hello": {
        const { enabled, slow_mode_seconds, you } = Json.parse(Model.frames.hello, data)
        this.state.update({ link: "connected", reason: "", you: you ?? undefined })
        this.state.update({ isEnabled: enabled, slowModeSeconds: slow_mode_seconds })
        return this.#sendPending()
      }
      case "message":
        return this.#add(Json.parse(Model.frames.message, data))
      case "delete": {
        const { message_id } = Json.parse(Model.frames.delete, data)
        return this.state.update({ messages: this.state.value.messages.filter(({ id }) => id !== message_id) })
      }
      case "ban": {
        const { uid: banned, until } = Json.parse(Model.frames.ban, data)
        this.state.update({ sanctions: this.state.value.sanctions + 1 })
        return banned === uid ? this.state.update({ sanction: { until, reason: "" } }) : undefined
      }
      case "unban":
        this.state.update({ sanctions: this.state.value.sanctions + 1 })
        return Json.parse(Model.frames.unban, data).uid === uid ? this.state.update({ sanction: undefined }) : undefined
      case "settings": {
        const { enabled, slow_mode_seconds } = Json.parse(Model.frames.settings, data)
        return this.state.update({ isEnabled: enabled, slowModeSeconds: slow_mode_seconds })
      }
      case "you": {
        const { you } = Json.parse(Model.frames.you, data)
        return this.state.update({ you: you ?? undefined })
      }
      case "gap":
        return void this.#skip(Json.parse(Model.frames.gap, data).through_id)
      case "accepted":
        if (Json.parse(Model.frames.accepted, data).nonce === this.#pending?.nonce) this.#settle()
        return undefined
      case "rejected": {
        const { detail, nonce, retry_after } = Json.parse(Model.frames.rejected, data)
        const { text } = this.#pending ?? { text: "" }
        if (nonce !== this.#pending?.nonce) return undefined
        this.#settle()
        const postAfter = retry_after === null ? 0 : Date.now() + retry_after * 1_000
        return this.state.update({ rejected: { text, detail }, postAfter })
      }
      default:
        return undefined
    }
  }

  #add(message: Model.Message): void {
    const { hasOlder, messages } = this.state.value
    const all = [...messages, message]
    const isFull = all.length > maxMessages
    this.state.update({ messages: isFull ? all.slice(-maxMessages) : all, hasOlder: hasOlder || isFull })
  }

  /** More was missed than the socket sends again: continues with the latest page. */
  async #skip(through: number): Promise<void> {
    this.#last = Math.max(this.#last, through)
    this.state.update({ messages: [], hasOlder: true })
    const page = await this.#page(`limit=${pageSize}`).catch(() => undefined)
    if (page === undefined) return
    const [first] = this.state.value.messages
    const missed = page.messages.filter(({ id }) => first === undefined || id < first.id).toReversed()
    this.state.update({ messages: [...missed, ...this.state.value.messages] })
  }

  #sendPending(): void {
    if (this.#pending === undefined || this.#socket?.readyState !== WebSocket.OPEN) return
    if (this.state.value.link !== "connected") return
    this.#socket.send(JSON.stringify({ type: "post", ...this.#pending }))
    clearTimeout(this.#answerTimer)
    this.#answerTimer = setTimeout(() => this.#socket?.close(), answerMillis)
  }

  #settle(): void {
    clearTimeout(this.#answerTimer)
    this.#pending = undefined
    this.state.update({ isPosting: false })
  }
}
