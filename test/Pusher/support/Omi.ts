/**
 * An imitation of omi's backend: the listen sessions of its users, which send audio, transcripts and finishes to one server, and
 * know what it must have at the end. There are no acknowledgements: what was sent to an open socket is never sent again.
 */
import { WebSocket } from "ws"
import { audioFrame, switchTo } from "../../support/Capturer.ts"
import { noise } from "../../support/Crash/Messages.ts"
import { message } from "./Messages.ts"

export const sampleRate = 16_000
const bytesPerSecond = sampleRate * 2

/** Audio in one message. */
export const backlogBytes = 10 * 1024 * 1024

/** Seconds between two attempts: the first of a row, and the longest. */
const [firstBackoff, longestBackoff] = [1, 30]

/** So many connections that fail within so many seconds open the breaker, for as long. */
const [breakerFailures, breakerSeconds] = [20, 30]

/** A finish that is not answered for good is sent again so many times at once, and later after so many seconds. */
const [immediateTries, retrySeconds] = [3, 300]

export interface Place {
  readonly url: string
  readonly key: string
}

export interface OmiOptions {
  readonly place: Place
  readonly users: number
  /** Factor by which waits are shorter than those of omi. */
  readonly speed: number
  readonly next: () => number
}

interface Answer {
  readonly conversation_id: string
  readonly success?: boolean
  readonly fenced?: boolean
  readonly terminal?: boolean
  readonly error?: string
}

type Outgoing =
  | { readonly kind: "audio"; readonly start: number; readonly audio: Buffer }
  | { readonly kind: "message"; readonly message: Buffer }
  | { readonly kind: "finish"; readonly job: Job }

interface Job {
  readonly conversation: string
  readonly message: Buffer
  /** It was sent, after the audio of its conversation. */
  isSent: boolean
  tries: number
}

/** Shared by all users of the process. */
class Breaker {
  opened = 0
  failures = 0
  #openUntil = -Infinity
  #latest: ReadonlyArray<number> = []

  /** Seconds until a connection may be tried. */
  wait(now: number): number {
    return Math.max(0, this.#openUntil - now)
  }

  fail(now: number): void {
    this.failures++
    this.#latest = [...this.#latest.filter((at) => now - at < breakerSeconds), now]
    if (this.#latest.length < breakerFailures) return
    this.opened++
    this.#openUntil = now + breakerSeconds
    this.#latest = []
  }
}

class Listen {
  readonly uid: string
  /** What each conversation must play. */
  readonly sent = new Map<string, Array<Buffer>>()
  /** Ids of the segments that each conversation must have. */
  readonly segments = new Map<string, Array<string>>()
  /** Finishes and their last answers. */
  readonly answers = new Map<string, Answer | undefined>()
  readonly closes: Array<number> = []
  connections = 0
  /** The largest message of audio. */
  largest = 0
  readonly #omi: Omi
  readonly #jobs = new Map<string, Job>()
  readonly #queue: Array<Outgoing> = []
  #socket: WebSocket | undefined
  #attempt = 0
  #conversation = ""
  #time: number
  #hasEnded = false

  constructor(omi: Omi, uid: string) {
    this.#omi = omi
    this.uid = uid
    this.#time = 1_700_000_000 + omi.next() * 1e6
    this.#connect()
  }

  get isConnected(): boolean {
    return this.#socket?.readyState === WebSocket.OPEN
  }

  get isSettled(): boolean {
    return this.#queue.length === 0 && this.#jobs.size === 0
  }

  select(conversation: string, idleSeconds: number): void {
    this.#conversation = conversation
    this.#time += idleSeconds
    this.#push({ kind: "message", message: switchTo(conversation) })
  }

  say(bytes: number): void {
    const audio = this.#omi.noise(bytes)
    this.sent.set(this.#conversation, [...(this.sent.get(this.#conversation) ?? []), audio])
    this.#push({ kind: "audio", start: this.#time, audio })
    this.#time += bytes / bytesPerSecond
  }

  transcribe(): void {
    const known = this.segments.get(this.#conversation) ?? []
    const segment = {
      id: `s-${known.length}`,
      start: known.length,
      end: known.length + 1,
      text: "Hello.",
      is_user: true
    }
    this.segments.set(this.#conversation, [...known, segment.id])
    const body = JSON.stringify({ segments: [segment], memory_id: this.#conversation })
    this.#push({ kind: "message", message: message(102, body) })
  }

  finish(conversation = this.#conversation): void {
    const body = JSON.stringify({
      conversation_id: conversation,
      language: "en",
      byok_keys: { openai: "sk-none" },
      finalization_job_id: `job-${conversation}`,
      dispatch_generation: 1,
      finalization_result_protocol: 2
    })
    const job = { conversation, message: message(104, body), isSent: false, tries: 0 }
    this.answers.set(conversation, undefined)
    this.#jobs.set(conversation, job)
    this.#push({ kind: "finish", job })
    this.#remind(job)
  }

  async close(): Promise<void> {
    this.#hasEnded = true
    const socket = this.#socket
    if (socket === undefined || socket.readyState === WebSocket.CLOSED) return
    const closed = new Promise((resolve) => socket.once("close", resolve))
    socket.close()
    await closed
  }

  #push(outgoing: Outgoing): void {
    this.#queue.push(outgoing)
    this.#flush()
  }

  /** What has waited is sent in messages as large as possible. */
  #flush(): void {
    while (this.isConnected) {
      const first = this.#queue.shift()
      if (first === undefined) return
      if (first.kind === "message") this.#socket?.send(first.message)
      else if (first.kind === "finish") this.#send(first.job)
      else {
        const parts = [first.audio]
        let bytes = first.audio.length
        for (let next = this.#queue[0]; next?.kind === "audio"; next = this.#queue[0]) {
          if (bytes + next.audio.length > backlogBytes) break
          parts.push(next.audio)
          bytes += next.audio.length
          this.#queue.shift()
        }
        this.largest = Math.max(this.largest, bytes)
        this.#socket?.send(audioFrame(first.start, Buffer.concat(parts)))
      }
    }
  }

  #send(job: Job): void {
    job.isSent = true
    this.#socket?.send(job.message)
  }

  #connect(): void {
    const { breaker, place } = this.#omi
    const url = new URL(`/v1/trigger/listen?uid=${this.uid}&sample_rate=${sampleRate}&client_kind=omi`, place.url)
    url.protocol = "ws"
    url.username = "omi"
    url.password = place.key
    const socket = new WebSocket(url)
    this.#socket = socket
    let isOpened = false
    socket.on("open", () => {
      isOpened = true
      this.connections++
      this.#attempt = 0
      // What the server has not answered: it may not have received it.
      for (const job of this.#jobs.values()) if (job.isSent) this.#send(job)
      this.#flush()
    })
    socket.on("message", (data: Buffer) => this.#receive(data))
    socket.on("error", () => {})
    socket.on("close", (code) => {
      if (isOpened) this.closes.push(code)
      else breaker.fail(this.#omi.now())
      if (this.#hasEnded) return
      const backoff = Math.min(longestBackoff, firstBackoff * 2 ** this.#attempt++) * (0.75 + this.#omi.next() / 2)
      this.#omi.after(Math.max(backoff, breaker.wait(this.#omi.now())), () => this.#hasEnded || this.#connect())
    })
  }

  #receive(data: Buffer): void {
    if (data.readUInt32LE(0) !== 201) return
    const answer: Answer = JSON.parse(data.toString("utf8", 4))
    const id = answer.conversation_id
    const job = this.#jobs.get(id)
    if (job === undefined) return
    this.answers.set(id, answer)
    if (answer.success === true || answer.fenced === true || answer.terminal === true) this.#jobs.delete(id)
    else if (job.tries++ < immediateTries) this.#push({ kind: "finish", job })
  }

  #remind(job: Job): void {
    this.#omi.after(retrySeconds, () => {
      if (!this.#jobs.has(job.conversation)) return
      if (job.isSent && this.isConnected) this.#send(job)
      this.#remind(job)
    })
  }
}

export class Omi {
  readonly place: Place
  readonly next: () => number
  readonly breaker = new Breaker()
  readonly users: ReadonlyArray<Listen>
  readonly #speed: number
  readonly #noise: Buffer

  constructor({ next, place, speed, users }: OmiOptions) {
    this.next = next
    this.place = place
    this.#speed = speed
    this.#noise = noise((backlogBytes + 2 ** 20) / 2, next)
    this.users = Array.from({ length: users }, (_, index) => new Listen(this, `omi-${index}`))
  }

  /** Seconds of omi's clock. */
  now(): number {
    return (performance.now() / 1000) * this.#speed
  }

  after(seconds: number, run: () => void): void {
    setTimeout(run, (seconds / this.#speed) * 1000)
  }

  wait(seconds: number): Promise<void> {
    return new Promise((resolve) => this.after(seconds, resolve))
  }

  noise(bytes: number): Buffer {
    const at = Math.floor((this.next() * (this.#noise.length - bytes)) / 2) * 2
    return this.#noise.subarray(at, at + bytes)
  }
}
