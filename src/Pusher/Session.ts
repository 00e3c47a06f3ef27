/** One capture socket. Plain code in the socket's own events: no fiber is woken for a frame. */
import type { WebSocket } from "ws"
import type { Acknowledgement, Capture, CaptureFailure } from "../Recording.ts"
import * as Protocol from "./Protocol.ts"

/** Seconds over which the rate of messages is averaged. */
const rateWindow = 10
/** A client that does not read its acknowledgements gets no more until it does: the next one says it all. */
const maxUnsentBytes = 64 * 1024

/** Between two notices of a clock shift. */
const shiftMillis = 1_000

export interface SessionLimits {
  readonly framesPerSecond: number
  readonly receiveTimeoutMillis: number
  readonly acks: boolean
}

/** What all sockets of the node received. */
export interface Received {
  frames: number
  bytes: number
}

export class Session {
  readonly #socket: WebSocket
  readonly #limits: SessionLimits
  readonly #received: Received
  readonly #now: () => number
  #capture: Capture | undefined
  #heardAt: number
  #credit: number
  #creditAt: number
  /** Of the last notice of a clock shift, and the shift that came too soon after it. */
  #shiftToldAt = -Infinity
  #untoldShift: number | undefined

  constructor(socket: WebSocket, limits: SessionLimits, received: Received, now: () => number) {
    this.#socket = socket
    this.#limits = limits
    this.#received = received
    this.#now = now
    this.#heardAt = now()
    this.#creditAt = this.#heardAt
    this.#credit = limits.framesPerSecond * rateWindow
  }

  /** Frames are read from now on. */
  start(capture: Capture): void {
    this.#capture = capture
    this.#socket.on("message", (data, isBinary) => {
      if (!isBinary) this.close(Protocol.closeCodes.badFrame, "messages are binary")
      else if (Buffer.isBuffer(data)) this.#receive(data)
    })
  }

  /** Nothing more is read; what was read is kept. */
  stop(): void {
    this.#capture = undefined
  }

  /** Called now and then: closes a socket that is silent, or was not read, for too long; else pings it when `ping`. */
  watch(ping: boolean): void {
    if (this.#now() - this.#heardAt >= this.#limits.receiveTimeoutMillis) {
      this.close(Protocol.closeCodes.internal, "nothing was received for too long")
    } else this.#tellShift()
    if (ping && this.#socket.readyState === this.#socket.OPEN) this.#socket.ping()
  }

  onAck(ack: Acknowledgement): void {
    if (this.#limits.acks && this.#socket.bufferedAmount <= maxUnsentBytes) this.#send(Protocol.ack(ack))
  }

  onRoom(): void {
    this.#heardAt = this.#now()
    if (this.#socket.isPaused) this.#socket.resume()
  }

  /** Told at once, then once a second: of a clock that stands still, each frame has another shift. */
  onShift(seconds: number): void {
    this.#untoldShift = seconds
    this.#tellShift()
  }

  onFailure(failure: CaptureFailure): void {
    if (failure._tag === "ConversationFull") {
      this.notice("limit", "the conversation has as many chunks as one may have")
      this.close(Protocol.closeCodes.policy, "the conversation is full")
    } else if (failure._tag === "TooManyChunks") {
      this.notice("limit", "too many chunks wait for the store: come back later, with longer ones")
      this.close(Protocol.closeCodes.later, "too many chunks wait for the store")
    } else if (failure._tag === "Superseded") {
      this.close(Protocol.closeCodes.policy, "another socket continues this conversation")
    } else if (failure._tag === "BacklogFull") {
      this.close(Protocol.closeCodes.policy, "more was sent than can be buffered")
    } else this.close(Protocol.closeCodes.internal, "the audio could not be written")
  }

  notice(type: "draining" | "limit" | "lost", detail: string): void {
    if (this.#limits.acks) this.#send(Protocol.notice(type, detail))
  }

  close(code: number, reason: string): void {
    this.#capture = undefined
    if (this.#socket.isPaused) this.#socket.resume()
    this.#socket.close(code, reason)
  }

  #tellShift(): void {
    if (this.#untoldShift === undefined || !this.#limits.acks) return
    if (this.#now() - this.#shiftToldAt < shiftMillis) return
    this.#send(Protocol.clockNotice(this.#untoldShift))
    this.#shiftToldAt = this.#now()
    this.#untoldShift = undefined
  }

  #send(message: Buffer): void {
    if (this.#socket.readyState === this.#socket.OPEN) this.#socket.send(message)
  }

  #receive(message: Buffer): void {
    const capture = this.#capture
    if (capture === undefined) return
    this.#heardAt = this.#now()
    this.#received.frames++
    if (!this.#mayReceive()) return this.close(Protocol.closeCodes.policy, "too many messages a second")
    const inbound = Protocol.decode(message)
    switch (inbound._tag) {
      case "Audio": {
        this.#received.bytes += inbound.audio.length
        if (inbound.audio.length === 0) return
        const answer = capture.append(inbound.start, inbound.audio)
        // A socket that is being closed is read to the end, for the answer to its close frame.
        if (answer === "full" && this.#capture !== undefined) this.#socket.pause()
        else if (answer === "refused")
          this.close(Protocol.closeCodes.badFrame, "choose a conversation (103) before audio")
        return
      }
      case "Conversation":
        this.#socket.pause()
        return capture.switchTo(inbound.id)
      case "Malformed":
        return this.close(Protocol.closeCodes.badFrame, inbound.reason)
      case "Heartbeat":
        return
    }
  }

  #mayReceive(): boolean {
    const { framesPerSecond } = this.#limits
    const earned = ((this.#heardAt - this.#creditAt) / 1000) * framesPerSecond
    this.#credit = Math.min(framesPerSecond * rateWindow, this.#credit + earned) - 1
    this.#creditAt = this.#heardAt
    return this.#credit >= 0
  }
}
