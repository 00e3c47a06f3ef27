/** A device that streams through the published client, and whose connections break. */
import { WebSocket } from "ws"
import { CaptureClient } from "../../../src/Client.ts"
import { Messages, sampleRate } from "./Messages.ts"

/** Of each message. */
const breakChance = 0.02

const pick = <A>(from: ReadonlyArray<A>, next: () => number): A | undefined => from[Math.floor(next() * from.length)]

export class Device {
  readonly #messages: Messages
  readonly #client: CaptureClient
  readonly #next: () => number
  readonly uid: string
  readonly #sockets = new Set<WebSocket>()
  connections = 0
  /** Why its client has waited, errors of its sockets, and the types of the notices that it received. */
  readonly troubles = new Set<string>()

  constructor(options: {
    readonly uid: string
    readonly url: string
    readonly key: string
    readonly next: () => number
    /** Its clock is never set. */
    readonly hasRightClock?: boolean
  }) {
    const { hasRightClock = false, key, next, uid, url } = options
    this.uid = uid
    this.#next = next
    this.#messages = new Messages(uid, next, hasRightClock ? { setClock: 0 } : {})
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
      conversation: this.#messages.conversation,
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

  /** What each conversation must play, without silence. */
  get sent(): ReadonlyMap<string, ReadonlyArray<Buffer>> {
    return this.#messages.sent
  }

  /** Sends until `isOver`, at `speed` times real time. */
  async stream(isOver: () => boolean, speed: number): Promise<void> {
    const began = performance.now()
    const first = this.#messages.time
    let paused = 0
    while (!isOver()) {
      if (this.#next() < breakChance) pick([...this.#sockets], this.#next)?.terminate()
      const { again, conversation, message, pauseSeconds } = this.#messages.draw()
      paused += pauseSeconds
      this.#client.switchTo(conversation)
      for (const { audio, start } of again) this.#client.send(start, audio)
      while (!this.#client.send(message.start, message.audio)) {
        const { length } = message.audio
        if (!(await this.#client.ready(length))) throw new Error(`${this.uid}: ${this.#client.status.reason}`)
      }
      const ahead = (this.#messages.time - first - paused) / speed - (performance.now() - began) / 1000
      await new Promise((resolve) => setTimeout(resolve, Math.max(0, ahead * 1000)))
    }
  }

  async close(): Promise<string> {
    const { cause, reason, unacknowledgedBytes } = await this.#client.close({ deadlineMillis: 120_000 })
    return cause === "complete" ? cause : `${cause}: ${unacknowledgedBytes} bytes unacknowledged, ${reason}`
  }
}
