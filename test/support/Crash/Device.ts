/**
 * A device that streams through the published client: messages of random length, pauses, audio sent twice, connections that
 * break, clocks that are wrong, and conversations that alternate. It knows what each conversation must play.
 */
import { WebSocket } from "ws"
import { CaptureClient } from "../../../src/Client.ts"

export const sampleRate = 16_000

/** Seconds. */
const maxMessage = 0.6

/** Seconds. A pause of more than 90 begins another audio file. */
const maxPause = 20

/** Messages that are sent again in one go. */
const maxRepeated = 4

interface Message {
  readonly start: number
  readonly audio: Buffer
  readonly conversation: string
}

/** Samples that are never 0, which only silence has. */
export const noise = (samples: number, next: () => number): Buffer => {
  const pcm = Buffer.alloc(samples * 2)
  for (let at = 0; at < samples; at++) {
    const value = Math.floor(next() * 65_535) - 32_767
    pcm.writeInt16LE(value === 0 ? 1 : value, at * 2)
  }
  return pcm
}

const pick = <A>(from: ReadonlyArray<A>, next: () => number): A | undefined => from[Math.floor(next() * from.length)]

export class Device {
  /** What each conversation must play, without silence. */
  readonly sent = new Map<string, Array<Buffer>>()
  readonly #client: CaptureClient
  readonly #next: () => number
  readonly uid: string
  readonly #sockets = new Set<WebSocket>()
  /** Unix seconds by the right clock. */
  #time: number
  /** Seconds by which the clock is set back: never to before the last pause, because audio may still be recorded there. */
  #setBack = 0
  /** Seconds of audio since the last pause. */
  #contiguous = 0
  #last: ReadonlyArray<Message> = []
  connections = 0
  /** Why its client has waited, errors of its sockets, and the types of the notices that it received. */
  readonly troubles = new Set<string>()
  readonly #hasRightClock: boolean

  constructor(options: {
    readonly uid: string
    readonly url: string
    readonly key: string
    readonly next: () => number
    /** Its clock is never set. */
    readonly hasRightClock?: boolean
  }) {
    const { hasRightClock = false, key, next, uid, url } = options
    this.#hasRightClock = hasRightClock
    this.uid = uid
    this.#next = next
    this.#time = 1_700_000_000 + next() * 1e6
    const opened = (socket: WebSocket) => {
      this.connections++
      this.#sockets.add(socket)
      socket.once("close", () => this.#sockets.delete(socket))
      socket.on("error", ({ message }) => this.troubles.add(message))
    }
    this.#client = new CaptureClient({
      url,
      key,
      uid,
      conversation: `${uid}-0`,
      sampleRate,
      bufferBytes: 4 << 20,
      onChange: () => {
        const { reason, state } = this.#client.status
        if (state === "waiting") this.troubles.add(reason)
      },
      onNotice: ({ type }) => this.troubles.add(type),
      WebSocket: class extends WebSocket {
        constructor(...parameters: ConstructorParameters<typeof WebSocket>) {
          super(...parameters)
          opened(this)
        }
      }
    })
  }

  /** Sends until `isOver`, at `speed` times real time. */
  async stream(isOver: () => boolean, speed: number): Promise<void> {
    const began = performance.now()
    const first = this.#time
    let paused = 0
    while (!isOver()) {
      paused += this.#decide()
      const samples = Math.max(1, Math.round(this.#next() * maxMessage * sampleRate))
      const audio = noise(samples, this.#next)
      const start = this.#time - this.#setBack
      while (!this.#client.send(start, audio)) {
        if (!(await this.#client.ready(audio.length))) throw new Error(`${this.uid}: ${this.#client.status.reason}`)
      }
      this.#time += samples / sampleRate
      this.#contiguous += samples / sampleRate
      const { conversation } = this.#client
      this.#last = [...this.#last, { start, audio, conversation }].slice(-maxRepeated)
      this.sent.set(conversation, [...(this.sent.get(conversation) ?? []), audio])
      const ahead = (this.#time - first - paused) / speed - (performance.now() - began) / 1000
      await new Promise((resolve) => setTimeout(resolve, Math.max(0, ahead * 1000)))
    }
  }

  async close(): Promise<string> {
    const { cause, reason, unacknowledgedBytes } = await this.#client.close({ deadlineMillis: 120_000 })
    return cause === "complete" ? cause : `${cause}: ${unacknowledgedBytes} bytes unacknowledged, ${reason}`
  }

  /** Draws what happens before the next message. Returns the length of a pause in seconds. */
  #decide(): number {
    const chance = this.#next()
    if (chance < 0.01) {
      this.#client.switchTo(`${this.uid}-${Math.floor(this.#next() * 3)}`)
      this.#setBack = 0
      this.#contiguous = 0
    } else if (chance < 0.03) {
      const pause = this.#next() * maxPause
      this.#time += pause
      this.#contiguous = 0
      return pause
    } else if (chance < 0.05) pick([...this.#sockets], this.#next)?.terminate()
    else if (chance < 0.07 && this.#setBack === 0) this.#sendAgain()
    else if (chance < 0.075 && !this.#hasRightClock) {
      this.#setBack = this.#setBack > 0 ? 0 : this.#next() * this.#contiguous
      this.#contiguous = 0
      this.#last = []
    }
    return 0
  }

  /** Repeats two messages or more: one alone looks like a clock that stands still, so its samples are new. */
  #sendAgain(): void {
    const again = this.#last.slice(-2 - Math.floor(this.#next() * (maxRepeated - 1)))
    if (again.length < 2 || again.some(({ conversation }) => conversation !== this.#client.conversation)) return
    for (const { audio, start } of again) this.#client.send(start, audio)
  }
}
