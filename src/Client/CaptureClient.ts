/** Sends live audio until the server has acknowledged all of it, over as many connections as that takes. */
import {
  type ClientOptions,
  type End,
  endpoint,
  type Resolved,
  resolve,
  type Status,
  type Totals,
  urlProblem
} from "./ClientOptions.ts"
import * as Ending from "./Ending.ts"
import * as Messages from "./Messages.ts"
import { type Packet, PacketBuffer } from "./PacketBuffer.ts"
import { isClosed, isOpen, open, type WebSocketLike } from "./WebSocketLike.ts"

/** The server accepts ten times as much, but lets messages over 128 KiB wait for their turn. */
const maxAudioBytes = 1024 * 1024 - Messages.audioHead
const tickMillis = 100
/** The server closes a socket that is silent for 300 seconds. */
const heartbeatMillis = 30_000
/** A stopping server acknowledges what it received; afterwards the client waits no longer for its close. */
const drainMillis = 10_000
/** A connection that lives this long with nothing due is progress. */
const steadyMillis = 10_000
const goodbyeMillis = 1_000
/** A longer timer fires at once. */
const maxTimerMillis = 2 ** 31 - 1
const goingAway = 1001
const broken = 1006

const messageOf = (error: unknown) => (error instanceof Error ? error.message : String(error))
const seconds = (millis: number) => `${Math.round(millis / 100) / 10} s`

const bytesOf = (view: ArrayBufferView): Uint8Array => new Uint8Array(view.buffer, view.byteOffset, view.byteLength)

/** Joins pieces of PCM, and packets of Opus with their lengths. */
const joined = (codec: Messages.Codec, pieces: ReadonlyArray<ArrayBufferView>): Uint8Array => {
  const head = codec === "opus" ? 2 : 0
  const made = new Uint8Array(pieces.reduce((sum, { byteLength }) => sum + head + byteLength, 0))
  let at = 0
  for (const piece of pieces) {
    if (head > 0) new DataView(made.buffer).setUint16(at, piece.byteLength, true)
    made.set(bytesOf(piece), at + head)
    at += head + piece.byteLength
  }
  return made
}

interface Connection {
  readonly socket: WebSocketLike
  readonly end: (ending: Ending.Ending) => void
  isOpened: boolean
  isDraining: boolean
  /** What is sent is not acknowledged, and not kept. */
  isUnstored: boolean
  openedAt: number
  /** When an acknowledgement arrived, or nothing was due. */
  heardAt: number
  sentAt: number
  /** Messages that the rate allows at `creditAt`. */
  credit: number
  creditAt: number
}

export class CaptureClient {
  /** Settles when the client has closed or failed. Never rejects. */
  readonly ended: Promise<End>
  readonly #options: Resolved
  readonly #url: string
  readonly #buffer: PacketBuffer
  #status: Status = {
    state: "connecting",
    reason: "",
    attempt: 0,
    retryMillis: 0,
    closeCode: undefined,
    httpStatus: undefined
  }
  #conversation: string
  #rejectedMessages = 0
  #connection: Connection | undefined
  #isClosing = false
  #end: ((end: End) => void) | undefined
  #stopWaiting: () => void = () => {}
  #room: { readonly promise: Promise<void>; readonly settle: () => void } | undefined

  /** Connects at once. */
  constructor(options: ClientOptions) {
    this.#options = resolve(options)
    this.#url = endpoint(this.#options)
    this.#buffer = new PacketBuffer(this.#options.bufferBytes)
    this.#conversation = options.conversation
    this.ended = new Promise((resolve) => {
      this.#end = resolve
    })
    // Not before the caller has the client that its callbacks use.
    void Promise.resolve()
      .then(() => this.#run())
      .catch((error: unknown) => this.#finish("refused", { reason: messageOf(error) }))
  }

  get status(): Status {
    return this.#status
  }

  get totals(): Totals {
    const { accepted, acknowledged, dropped, unacknowledged, unsent } = this.#buffer
    return { accepted, acknowledged, unacknowledged, unsent, dropped, rejectedMessages: this.#rejectedMessages }
  }

  get conversation(): string {
    return this.#conversation
  }

  /** The audio sent from now on belongs to this conversation. */
  switchTo(conversation: string): void {
    this.#conversation = conversation
  }

  /** What the server has not acknowledged, such as after a failure. Opus has its lengths. */
  unacknowledged(): ReadonlyArray<Packet> {
    return this.#buffer.packets()
  }

  /**
   * Accepts samples, an Opus packet, or a list of either without gaps. `start`: Unix seconds of the first sample.
   * Returns false if it does not fit, or the client has ended.
   */
  send(start: number, audio: ArrayBufferView | ReadonlyArray<ArrayBufferView>): boolean {
    const { codec, whenFull } = this.#options
    const pieces = ArrayBuffer.isView(audio) ? [audio] : audio
    if (pieces.some((piece) => piece instanceof Float32Array || piece instanceof Float64Array))
      throw new TypeError("audio has floating-point samples: send an Int16Array of their values times 32767")
    const bytes = joined(codec, pieces)
    if (bytes.length > maxAudioBytes)
      throw new RangeError(`audio has ${bytes.length} bytes, more than ${maxAudioBytes}`)
    if (codec === "pcm16" && bytes.length % 2 === 1) throw new RangeError("audio ends within a sample")
    if (!Number.isFinite(start)) throw new RangeError("start is no time in Unix seconds")
    if (bytes.length === 0) return true
    if (this.#isOver || this.#isClosing) return false
    if (whenFull === "drop-oldest" && bytes.length <= this.#buffer.capacity) this.#buffer.makeRoom(bytes.length)
    if (!this.#buffer.fits(bytes.length)) {
      this.#rejectedMessages++
      return false
    }
    this.#buffer.push(this.#conversation, start, bytes)
    this.#pump()
    return true
  }

  /** Waits until audio of so many bytes fits. Returns false if the client has ended. */
  async ready(bytes = 1): Promise<boolean> {
    if (bytes > this.#buffer.capacity) throw new RangeError(`the buffer holds ${this.#buffer.capacity} bytes`)
    while (!this.#isOver && !this.#buffer.fits(bytes)) {
      if (this.#room === undefined) {
        let settle = () => {}
        const promise = new Promise<void>((resolve) => {
          settle = resolve
        })
        this.#room = { promise, settle }
      }
      await this.#room.promise
    }
    return !this.#isOver && !this.#isClosing
  }

  /** Accepts no more audio, waits until all of it is acknowledged, at most so long, and ends the connection. */
  close({ deadlineMillis = 30_000 } = {}): Promise<End> {
    this.#isClosing = true
    if (this.#isOver) return this.ended
    if (this.#buffer.unacknowledged === 0) this.#finish("complete")
    else if (deadlineMillis <= 0) this.#finish("deadline")
    else if (deadlineMillis < Infinity) {
      const timer = setTimeout(() => this.#finish("deadline"), Math.min(maxTimerMillis, deadlineMillis))
      void this.ended.then(() => clearTimeout(timer))
    }
    return this.ended
  }

  get #isOver(): boolean {
    return this.#end === undefined
  }

  #changed(status: Partial<Status> = {}): void {
    this.#status = { ...this.#status, ...status }
    this.#room?.settle()
    this.#room = undefined
    this.#options.onChange?.()
  }

  #finish(cause: End["cause"], status: Partial<Status> = {}): void {
    const end = this.#end
    if (end === undefined) return
    this.#end = undefined
    this.#connection?.end(Ending.ended(""))
    this.#stopWaiting()
    const state = cause === "refused" || cause === "gave-up" ? "failed" : "closed"
    this.#changed({ reason: "", ...status, state, retryMillis: 0 })
    end({ ...this.#status, cause, unacknowledgedBytes: this.#buffer.unacknowledged })
  }

  async #run(): Promise<void> {
    const reason = urlProblem(this.#options.url)
    if (reason !== undefined) return this.#finish("refused", { reason })
    let attempt = 0
    while (!this.#isOver) {
      const before = this.#buffer.acknowledged
      this.#changed({ state: "connecting" })
      const { isSteady, ...ending } = await this.#attempt()
      this.#buffer.reset()
      if (this.#isOver) return
      attempt = this.#buffer.acknowledged > before || isSteady ? 1 : attempt + 1
      const { closeCode, httpStatus, reason } = ending
      const status = { reason, attempt, closeCode, httpStatus }
      const isRefused = ending.isFinal && (httpStatus === undefined || !this.#options.retryRefusals)
      if (isRefused) return this.#finish("refused", status)
      const because = this.#gaveUp(attempt, ending.retryAfterMillis)
      if (because !== undefined) return this.#finish("gave-up", { ...status, reason: `${reason}${because}` })
      const retryMillis = this.#pauseAfter(attempt, ending)
      this.#changed({ ...status, state: "waiting", retryMillis })
      await this.#pause(retryMillis)
    }
  }

  #gaveUp(attempt: number, retryAfterMillis: number): string | undefined {
    const { maxRetryAfterMillis, tries } = this.#options
    if (retryAfterMillis > maxRetryAfterMillis) return ` The server asks to retry in ${seconds(retryAfterMillis)}.`
    if (attempt <= tries) return undefined
    return tries === 0 ? "" : ` Gave up after ${tries === 1 ? "1 try" : `${tries} tries`} without progress.`
  }

  #pauseAfter(attempt: number, { isHandover, retryAfterMillis }: Ending.Ending): number {
    const { backoffMillis, maxBackoffMillis } = this.#options
    // At once, but not to a node that drains again.
    if (isHandover && attempt === 1) return 0
    const backoff = Math.min(maxBackoffMillis, backoffMillis * 2 ** (attempt - 1))
    const pause = Math.round(Math.max(retryAfterMillis, backoff * (0.8 + 0.4 * Math.random())))
    return Math.min(maxTimerMillis, pause)
  }

  async #attempt(): Promise<Ending.Ending & { readonly isSteady: boolean }> {
    const { key } = this.#options
    const canRenew = typeof key === "function"
    let current = ""
    try {
      current = canRenew ? await key() : key
    } catch (error) {
      return { ...Ending.ended(messageOf(error)), isSteady: false }
    }
    if (this.#isOver) return { ...Ending.ended(""), isSteady: false }
    const { connection, ending } = await this.#connect(current)
    if (!connection.isOpened && !this.#isOver) {
      return { ...(await Ending.ofRefusal(this.#url, current, canRenew)), isSteady: false }
    }
    const isIdle = connection.isOpened && !this.#buffer.isInFlight
    return { ...ending, isSteady: isIdle && performance.now() - connection.openedAt > steadyMillis }
  }

  #pause(millis: number): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer)
        resolve()
      }
      const timer = setTimeout(done, millis)
      this.#stopWaiting = done
      if (this.#isOver) done()
    })
  }

  #connect(key: string): Promise<{ readonly connection: Connection; readonly ending: Ending.Ending }> {
    const socket = open(this.#url, key, this.#options.WebSocket)
    socket.binaryType = "arraybuffer"
    return new Promise((resolve) => {
      const ticking = setInterval(() => this.#tick(connection), tickMillis)
      const now = performance.now()
      const times = { openedAt: now, heardAt: now, sentAt: now, creditAt: now }
      const connection: Connection = {
        socket,
        isOpened: false,
        isDraining: false,
        isUnstored: false,
        credit: this.#options.messagesPerSecond,
        ...times,
        // Does not wait for the server's close frame: a hanging server never sends it.
        end: (ending) => {
          if (this.#connection !== connection) return
          this.#connection = undefined
          clearInterval(ticking)
          socket.close(1000)
          if (socket.readyState !== isClosed) {
            const terminating = setTimeout(() => socket.terminate?.(), goodbyeMillis)
            socket.addEventListener("close", () => clearTimeout(terminating))
          }
          resolve({
            connection,
            ending: connection.isDraining ? { ...ending, closeCode: goingAway, isHandover: true } : ending
          })
        }
      }
      this.#connection = connection
      socket.addEventListener("open", () => this.#onOpen(connection))
      socket.addEventListener("message", ({ data }) => {
        if (this.#connection === connection && data instanceof ArrayBuffer) this.#onMessage(connection, data)
      })
      const canRenew = typeof this.#options.key === "function"
      socket.addEventListener("close", ({ code = broken, reason = "" }) =>
        connection.end(Ending.ofClose(code, reason, canRenew))
      )
      socket.addEventListener("error", () => {})
    })
  }

  #onOpen(connection: Connection): void {
    if (this.#connection !== connection) return
    connection.isOpened = true
    connection.openedAt = connection.heardAt = performance.now()
    const conversation = this.#buffer.conversation ?? this.#conversation
    this.#buffer.select(conversation)
    this.#transmit(connection, Messages.conversation(conversation))
    this.#changed({ state: "connected", reason: "", closeCode: undefined, httpStatus: undefined })
    this.#pump()
  }

  #onMessage(connection: Connection, data: ArrayBuffer): void {
    const received = Messages.decode(data)
    if (received?.kind === "notice") {
      if (received.notice.type === "draining") {
        connection.isDraining = true
        connection.heardAt = performance.now()
      }
      this.#options.onNotice?.(received.notice)
      if (received.notice.isUnstored) {
        connection.isUnstored = true
        this.#forget()
      }
    }
    if (received?.kind !== "acknowledgement") return
    connection.heardAt = performance.now()
    const { bytes, conversation } = received.acknowledgement
    const isWhole = this.#buffer.acknowledge(conversation, bytes)
    this.#options.onAcknowledgement?.(received.acknowledgement)
    this.#changed()
    if (this.#isClosing && this.#buffer.unacknowledged === 0) return this.#finish("complete")
    // What was not stored is not counted in the acknowledgements of this connection, so another one begins anew.
    if (connection.isUnstored) connection.end({ ...Ending.ended("Audio is stored again.", broken), isHandover: true })
    else if (isWhole) this.#pump()
    else connection.end(Ending.ended("The server left a conversation without acknowledging its end.", broken))
  }

  #transmit(connection: Connection, message: Uint8Array<ArrayBuffer>): void {
    connection.socket.send(message)
    connection.sentAt = performance.now()
    connection.credit--
  }

  #pump(): void {
    const connection = this.#connection
    if (connection === undefined || !connection.isOpened || connection.isDraining) return
    if (this.#buffer.isBlocked && !this.#buffer.isInFlight) {
      return connection.end({ ...Ending.ended("The conversation is selected again.", broken), isHandover: true })
    }
    const { messagesPerSecond, socketBytes } = this.#options
    const now = performance.now()
    const earned = ((now - connection.creditAt) / 1000) * messagesPerSecond
    connection.credit = Math.min(messagesPerSecond, connection.credit + earned)
    connection.creditAt = now
    if (!this.#buffer.isInFlight) connection.heardAt = now
    const before = this.#buffer.unsent
    while (connection.credit >= 1 && connection.socket.bufferedAmount <= socketBytes) {
      if (connection.socket.readyState !== isOpen) break
      const outgoing = this.#buffer.next()
      if (outgoing === undefined) break
      if (outgoing.selects !== undefined) this.#transmit(connection, Messages.conversation(outgoing.selects))
      this.#transmit(connection, outgoing.message)
    }
    if (this.#buffer.unsent === before) return
    if (connection.isUnstored) this.#forget()
    else this.#options.onChange?.()
  }

  #forget(): void {
    this.#buffer.forgetSent()
    this.#changed()
    if (this.#isClosing && this.#buffer.unacknowledged === 0) this.#finish("complete")
  }

  #tick(connection: Connection): void {
    const { patienceMillis } = this.#options
    const now = performance.now()
    const isDue = this.#buffer.isInFlight || !connection.isOpened
    if (connection.isDraining) {
      if (now - connection.heardAt > drainMillis) connection.end(Ending.ended("The server stops.", goingAway))
    } else if (isDue && now - connection.heardAt > patienceMillis) {
      connection.end(Ending.ended(`No acknowledgement for ${seconds(patienceMillis)}.`, broken))
    } else {
      if (connection.isOpened && now - connection.sentAt >= heartbeatMillis)
        this.#transmit(connection, Messages.heartbeat)
      this.#pump()
    }
  }
}
