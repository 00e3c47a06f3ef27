/** One capture socket. Runs in the socket's event handlers, without a fiber for each frame. */
import type { WebSocket } from "ws"
import type { Span } from "../Audio.ts"
import type { Acknowledgement, Capture, CaptureFailure } from "../Recording.ts"
import * as Protocol from "./Protocol.ts"

/** Burst of the message rate limit, in seconds of the rate. */
const rateWindow = 10
/** Acknowledgements are skipped while more is unsent. They are cumulative, so the next one covers them. */
const maxUnsentBytes = 64 * 1024

/** Least interval between two clock notices. */
const shiftMillis = 1_000

export interface SessionOptions {
  readonly framesPerSecond: number
  readonly receiveTimeoutMillis: number
  readonly acks: boolean
  readonly codec: Span.Codec
}

/** Totals of all sockets of the node. */
export interface ReceivedTotals {
  frames: number
  bytes: number
}

export class Session {
  readonly #socket: WebSocket
  readonly #options: SessionOptions
  readonly #received: ReceivedTotals
  readonly #now: () => number
  #capture: Capture | undefined
  #receivedAt: number
  #credit: number
  #creditAt: number
  /** Time of the last clock notice, and a later shift that has not been sent. */
  #shiftSentAt = -Infinity
  #unsentShift: number | undefined

  constructor(socket: WebSocket, options: SessionOptions, received: ReceivedTotals, now: () => number) {
    this.#socket = socket
    this.#options = options
    this.#received = received
    this.#now = now
    this.#receivedAt = now()
    this.#creditAt = this.#receivedAt
    this.#credit = options.framesPerSecond * rateWindow
  }

  start(capture: Capture): void {
    this.#capture = capture
    this.#socket.on("message", (data, isBinary) => {
      if (!isBinary) this.close(Protocol.closeCodes.badFrame, "messages are binary")
      else if (Buffer.isBuffer(data)) this.#receive(data)
    })
  }

  /** Stops reading frames. Audio that was read stays in the capture. */
  stop(): void {
    this.#capture = undefined
  }

  /** Called periodically. Closes a socket that received nothing within the timeout, and sends due pings and notices. */
  check(ping: boolean): void {
    if (this.#now() - this.#receivedAt >= this.#options.receiveTimeoutMillis) {
      this.close(Protocol.closeCodes.internal, "nothing was received for too long")
    } else this.#sendShift()
    if (ping && this.#socket.readyState === this.#socket.OPEN) this.#socket.ping()
  }

  onAck(ack: Acknowledgement): void {
    if (this.#options.acks && this.#socket.bufferedAmount <= maxUnsentBytes) this.#send(Protocol.ack(ack))
  }

  onRoom(): void {
    this.#receivedAt = this.#now()
    if (this.#socket.isPaused) this.#socket.resume()
  }

  /** Sent at most once a second, because a stopped clock shifts each frame differently. */
  onShift(seconds: number): void {
    this.#unsentShift = seconds
    this.#sendShift()
  }

  onFailure(failure: CaptureFailure): void {
    if (failure._tag === "ConversationFull") {
      this.notice("limit", "the conversation has reached its limit of chunks")
      this.close(Protocol.closeCodes.policy, "the conversation is full")
    } else if (failure._tag === "TooManyChunks") {
      this.notice("limit", "too many chunks wait for the store: retry later, with longer chunks")
      this.close(Protocol.closeCodes.later, "too many chunks wait for the store")
    } else if (failure._tag === "Superseded") {
      this.close(Protocol.closeCodes.policy, "another socket continues this conversation")
    } else if (failure._tag === "Purged") {
      this.notice("deleted", "the conversation was deleted, with all of its audio")
      this.close(Protocol.closeCodes.policy, "the conversation was deleted")
    } else if (failure._tag === "BacklogFull") {
      this.close(Protocol.closeCodes.policy, "more was sent than can be buffered")
    } else this.close(Protocol.closeCodes.internal, "the audio could not be written")
  }

  notice(type: "draining" | "limit" | "deleted", detail: string): void {
    if (this.#options.acks) this.#send(Protocol.notice(type, detail))
  }

  close(code: number, reason: string): void {
    this.#capture = undefined
    if (this.#socket.isPaused) this.#socket.resume()
    this.#socket.close(code, reason)
  }

  #sendShift(): void {
    if (this.#unsentShift === undefined || !this.#options.acks) return
    if (this.#now() - this.#shiftSentAt < shiftMillis) return
    this.#send(Protocol.clockNotice(this.#unsentShift))
    this.#shiftSentAt = this.#now()
    this.#unsentShift = undefined
  }

  #send(message: Buffer): void {
    if (this.#socket.readyState === this.#socket.OPEN) this.#socket.send(message)
  }

  #receive(message: Buffer): void {
    const capture = this.#capture
    if (capture === undefined) return
    this.#receivedAt = this.#now()
    this.#received.frames++
    if (!this.#isWithinRate()) return this.close(Protocol.closeCodes.policy, "too many messages a second")
    const inbound = Protocol.decode(message, this.#options.codec)
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

  #isWithinRate(): boolean {
    const { framesPerSecond } = this.#options
    const earned = ((this.#receivedAt - this.#creditAt) / 1000) * framesPerSecond
    this.#credit = Math.min(framesPerSecond * rateWindow, this.#credit + earned) - 1
    this.#creditAt = this.#receivedAt
    return this.#credit >= 0
  }
}
