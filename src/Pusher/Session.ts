/** One capture socket. Runs in the socket's event handlers, without a fiber for each frame. */
import type { WebSocket } from "ws"
import type { Span } from "../Audio.ts"
import type { Acknowledgement, Capture, CaptureFailure } from "../Recording.ts"
import type { AudioTap } from "./Live/Audio.ts"
import type { MessageHandlers, Sender } from "./MessageHandlers.ts"
import * as Protocol from "./Protocol.ts"
import { HeldAudio } from "./Session/HeldAudio.ts"
import { type Admit, ReceiveMemory } from "./Session/ReceiveMemory.ts"
import { TokenBucket } from "./TokenBucket.ts"

/** Burst of the message rate limit, in seconds of the rate. */
const rateWindow = 10
/** Acknowledgements are skipped while more is unsent. They are cumulative, so the next one covers them. */
const maxUnsentBytes = 64 * 1024

/** Least interval between two clock notices. */
const shiftMillis = 1_000

/** Pings in a row that a peer may leave unanswered; at the next one its connection is cut. */
const maxUnanswered = 2

/** Interval at which a socket says that it feeds its conversation. */
const fedMillis = 60_000

/** A longer text of a JSON message is ignored, because parsing it would hold up all captures. */
const maxTextBytes = 1024 * 1024

export interface SessionOptions {
  readonly uid: string
  readonly framesPerSecond: number
  readonly receiveTimeoutMillis: number
  readonly acks: "disk" | "store" | "none"
  readonly codec: Span.Codec
}

/** What a session asks of its node. */
export interface SessionHost {
  readonly now: () => number
  readonly received: ReceivedTotals
  readonly handler: MessageHandlers["Service"]["get"]
  /** Counts a selected conversation of the user; false if there are too many. */
  readonly maySelect: () => boolean
  /** As the user's settings say now. */
  readonly storesAudio: () => boolean
  /** Takes all audio of conversations, stored or not. */
  readonly audio: Pick<AudioTap, "append" | "flush">
  /** The socket feeds the conversation. */
  readonly fed: (conversation: string) => void
  /** Calls `found` later with the conversation to continue, if there is one. */
  readonly findRecent: (found: (conversation: string | undefined) => void) => void
  /** Takes the JSON messages, too, and answers them in place of their handlers. */
  readonly relay: ((message: Buffer) => void) | undefined
  /** A handler of JSON messages, the relay or a live sink has thrown. */
  readonly died: (cause: unknown) => void
  readonly admit: Admit
}

/**
 * Totals of all sockets of the node. `ignored`: JSON messages that could not be used. `unstored`: bytes that users don't store.
 * `unresponsive`: connections that were cut because they answered no ping.
 */
export interface ReceivedTotals {
  frames: number
  bytes: number
  ignored: number
  unstored: number
  unresponsive: number
}

export class Session {
  readonly #socket: WebSocket
  readonly #options: SessionOptions
  readonly #host: SessionHost
  readonly #sender: Sender
  #capture: Capture | undefined
  #conversation: string | undefined
  #fedAt = 0
  #receivedAt: number
  readonly #messageRate: TokenBucket
  readonly #memory: ReceiveMemory
  /** Time of the last clock notice, and a later shift that has not been sent. */
  #shiftSentAt = -Infinity
  #unsentShift: number | undefined
  readonly #held = new HeldAudio()
  /** The capture is full, so the socket is not read. */
  #isFull = false
  /** The client has the notice that its audio is not stored. */
  #hasUnstoredNotice = false
  /** Pings since which nothing has arrived. */
  #unanswered = 0
  /** What `stored` said last of the selected conversation. */
  #storedSent: number | undefined

  constructor(socket: WebSocket, options: SessionOptions, host: SessionHost) {
    this.#socket = socket
    this.#options = options
    this.#host = host
    this.#receivedAt = host.now()
    const { framesPerSecond } = options
    this.#messageRate = new TokenBucket(framesPerSecond, framesPerSecond * rateWindow, this.#receivedAt)
    this.#memory = new ReceiveMemory(host.admit, (isWaiting) => {
      if (!isWaiting) this.#receivedAt = host.now()
      this.#pauseOrResume()
    })
    this.#sender = {
      uid: options.uid,
      conversation: () => this.#conversation,
      send: (message) => {
        if (host.relay === undefined || message.readUInt32LE(0) !== Protocol.opcodes.finished) this.#send(message)
      },
      dropped: 0
    }
  }

  get droppedSegments(): number {
    return this.#sender.dropped
  }

  start(capture: Capture): void {
    this.#capture = capture
    this.#socket.on("message", (data, isBinary) => {
      const message = isBinary && Buffer.isBuffer(data) ? data : undefined
      this.#memory.received(message)
      if (message !== undefined) this.#receive(message)
      else this.close(Protocol.closeCodes.badFrame, "messages are binary")
      if (!this.#isFull) this.#memory.finishTurn()
    })
    // Control frames take part in the rate of messages. A peer that doesn't read gets no more pongs.
    this.#socket.on("ping", (data: Buffer) => {
      const isReadable = this.#isCounted() && this.#socket.bufferedAmount <= maxUnsentBytes
      if (isReadable && this.#socket.readyState === this.#socket.OPEN) this.#socket.pong(Uint8Array.from(data))
    })
    this.#socket.on("pong", () => void this.#isCounted())
    this.#pauseOrResume()
  }

  /** Bytes have arrived, and their messages were received. */
  arrived(bytes: Buffer): void {
    this.#unanswered = 0
    this.#memory.arrived(bytes)
  }

  /** Stops reading frames. Audio that was read stays in the capture. */
  stop(): void {
    this.#capture = undefined
    this.#flushSinks()
    this.#memory.stop()
  }

  /** Called periodically. Ends a socket that received nothing for too long, and sends due pings and notices. */
  check(ping: boolean): void {
    const isLate = this.#host.now() - this.#receivedAt >= this.#options.receiveTimeoutMillis
    if (isLate && !this.#memory.isWaiting) {
      this.close(Protocol.closeCodes.internal, "nothing was received for too long")
    } else this.#sendShift()
    if (ping) this.#ping()
  }

  #ping(): void {
    // A socket that is not read can't have answered.
    if (this.#isFull || this.#memory.isWaiting) this.#unanswered = 0
    if (this.#unanswered === maxUnanswered) {
      this.#host.received.unresponsive++
      return this.#socket.terminate()
    }
    this.#unanswered++
    if (this.#socket.readyState === this.#socket.OPEN) this.#socket.ping()
  }

  onAck(ack: Acknowledgement): void {
    const { acks } = this.#options
    if (acks === "none" || this.#socket.bufferedAmount > maxUnsentBytes) return
    if (acks === "disk") return this.#send(Protocol.ack(ack))
    const { conversation, stored } = ack
    if (stored === undefined || (conversation === this.#conversation && stored === this.#storedSent)) return
    if (conversation === this.#conversation) this.#storedSent = stored
    this.#send(Protocol.ack({ ...ack, through: stored }))
  }

  onRoom(): void {
    this.#receivedAt = this.#host.now()
    this.#isFull = false
    this.#memory.finishTurn()
    this.#pauseOrResume()
  }

  onLost(lost: Parameters<typeof Protocol.lostNotice>[0]): void {
    if (this.#options.acks !== "none") this.#send(Protocol.lostNotice(lost))
  }

  /** Passes on an answer of the upstream pusher. */
  answer(message: Buffer): void {
    this.#send(message)
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
      this.notice("limit", "too many chunks wait for the store: retry later")
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

  notice(type: Protocol.NoticeType, detail: string): void {
    if (this.#options.acks !== "none") this.#send(Protocol.notice(type, detail))
  }

  close(code: number, reason: string): void {
    this.#capture = undefined
    this.#isFull = false
    this.#memory.cancelTurn()
    this.#pauseOrResume()
    this.#socket.close(code, reason)
  }

  #pauseOrResume(): void {
    const isPaused = this.#isFull || this.#memory.isWaiting
    if (isPaused) this.#socket.pause()
    else if (this.#socket.isPaused) this.#socket.resume()
  }

  #sendShift(): void {
    if (this.#unsentShift === undefined || this.#options.acks === "none") return
    if (this.#host.now() - this.#shiftSentAt < shiftMillis) return
    this.#send(Protocol.clockNotice(this.#unsentShift))
    this.#shiftSentAt = this.#host.now()
    this.#unsentShift = undefined
  }

  #send(message: Buffer): void {
    if (this.#socket.readyState === this.#socket.OPEN) this.#socket.send(message)
  }

  #receive(message: Buffer): void {
    const capture = this.#capture
    if (capture === undefined) return
    const { received } = this.#host
    this.#receivedAt = this.#host.now()
    received.frames++
    if (!this.#isCounted()) return
    const inbound = Protocol.decode(message, this.#options.codec)
    switch (inbound._tag) {
      case "Audio":
        received.bytes += inbound.audio.length
        if (inbound.audio.length > 0) this.#append(capture, inbound.start, inbound.audio)
        return
      case "Conversation":
        if (this.#host.maySelect()) {
          // The audio before it may belong to the conversation that is searched for.
          if (this.#held.isSearching) this.#held.select(inbound.id)
          else this.#select(capture, inbound.id)
          return
        }
        this.notice("limit", "the user selects too many conversations a minute")
        return this.close(Protocol.closeCodes.policy, "too many conversations a minute")
      case "Json": {
        const isShort = inbound.text.length <= maxTextBytes
        if (!isShort || !this.#handle(inbound.opcode, inbound.text, message)) received.ignored++
        return
      }
      case "Malformed":
        return this.close(Protocol.closeCodes.badFrame, inbound.reason)
      case "Heartbeat":
        return
    }
  }

  #handle(opcode: Protocol.JsonOpcode, text: Buffer, message: Buffer): boolean {
    return (
      this.#guarded(() => {
        this.#host.relay?.(message)
        return this.#host.handler(opcode)?.(this.#sender, text)
      }) === true
    )
  }

  #guarded<A>(work: () => A): A | undefined {
    // edge: called in the socket's event, where what is thrown would end the process, and so every capture.
    try {
      return work()
    } catch (cause) {
      this.#host.died(cause)
      return undefined
    }
  }

  #appendToSinks(conversation: string, audio: Uint8Array): void {
    this.#guarded(() => this.#host.audio.append(conversation, audio))
  }

  /** Passes the rest of the conversation's audio to the live sinks. */
  #flushSinks(): void {
    const conversation = this.#conversation
    if (conversation !== undefined) this.#guarded(() => this.#host.audio.flush(conversation))
  }

  #append(capture: Capture, start: number, audio: Uint8Array): void {
    const conversation = this.#conversation
    if (conversation !== undefined) {
      this.#appendToSinks(conversation, audio)
      if (this.#receivedAt - this.#fedAt > fedMillis) this.#feed(conversation)
    }
    if (!this.#host.storesAudio()) {
      // Live sinks have the audio of the latest conversation, stored or not.
      const isUnassigned = conversation === undefined && !this.#held.wasSearched
      return isUnassigned ? this.#hold(start, audio) : this.#discard(audio)
    }
    this.#hasUnstoredNotice = false
    const answer = capture.append(start, audio)
    if (answer === "refused") return this.#hold(start, audio)
    // A socket that is being closed is read to the end, for the answer to its close frame.
    if (answer === "ok" || this.#capture === undefined) return
    this.#isFull = true
    this.#pauseOrResume()
  }

  /** Audio of a user who has not agreed to its storage. */
  #discard(audio: Uint8Array): void {
    this.#host.received.unstored += audio.length
    if (this.#hasUnstoredNotice) return
    this.#hasUnstoredNotice = true
    if (this.#options.acks !== "none") this.#send(Protocol.unstoredNotice)
  }

  #discardHeld(): void {
    for (const held of this.#held.takeAll()) if ("audio" in held) this.#discard(held.audio)
  }

  /** Feeds the conversation, with the audio from before it was selected. */
  #select(capture: Capture, conversation: string): void {
    this.#isFull = true
    this.#pauseOrResume()
    this.#flushSinks()
    capture.switchTo(conversation)
    this.#storedSent = undefined
    this.#feed(conversation)
    let into = conversation
    for (const held of this.#held.takeAll()) {
      // A closed socket is read to the end, so it must not be paused again.
      if (this.#capture === undefined) return
      if ("selected" in held) {
        into = held.selected
        this.#select(capture, into)
        continue
      }
      this.#appendToSinks(into, held.audio)
      if (held.isStorable && this.#host.storesAudio()) capture.append(held.start, held.audio)
      else this.#discard(held.audio)
    }
  }

  #feed(conversation: string): void {
    this.#conversation = conversation
    this.#fedAt = this.#receivedAt
    this.#host.fed(conversation)
  }

  /** Keeps audio until its conversation is known. */
  #hold(start: number, audio: Uint8Array): void {
    if (!this.#held.hasRoomFor(audio)) return this.#closeWithoutConversation()
    this.#held.add(start, audio, this.#host.storesAudio())
    if (!this.#held.beginSearch()) return
    this.#isFull = true
    this.#pauseOrResume()
    this.#host.findRecent((recent) => {
      this.#held.endSearch()
      const capture = this.#capture
      if (capture === undefined) return
      if (recent !== undefined) return this.#select(capture, recent)
      const selected = this.#held.takeSelected()
      if (selected !== undefined) return this.#select(capture, selected)
      if (!this.#host.storesAudio()) this.#discardHeld()
      if (this.#held.isOverfull) this.#closeWithoutConversation()
      else this.onRoom()
    })
  }

  #closeWithoutConversation(): void {
    this.close(Protocol.closeCodes.badFrame, "choose a conversation (103) before audio")
  }

  /** Counts a message. Closes the socket, and returns false, if there are too many. */
  #isCounted(): boolean {
    if (this.#capture === undefined) return false
    if (this.#messageRate.take(1, this.#host.now())) return true
    this.close(Protocol.closeCodes.policy, "too many messages a second")
    return false
  }
}
