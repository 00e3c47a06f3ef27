/** The memory that a capture socket receives messages in: freed after each message, and bounded by turns for large messages. */

/** A message of which more than this has arrived waits for its turn: the rest would need as much memory. */
const largeBytes = 128 * 1024

/** Bytes before the payload of a client's frame: its opcode, length and mask (RFC 6455, section 5.2). */
const headBytes = (payload: number) => (payload < 126 ? 6 : payload < 65_536 ? 8 : 14)

/**
 * Frees what a message was received with, unless it holds more than that message: `ws` keeps what follows, and the payload of a
 * ping until it is answered. Left to the garbage collector, what all captures send within a second piles up.
 */
const free = ({ buffer, byteOffset, length }: Buffer, message: Buffer): void => {
  const head = headBytes(message.length)
  const isAll =
    message.buffer === buffer && message.byteOffset === byteOffset + head && message.length === length - head
  if (isAll && buffer instanceof ArrayBuffer && buffer.byteLength === length) buffer.transfer(0)
}

/** Calls `admitted` when a large message may be read, with what ends its turn. */
export type Admit = (admitted: (done: () => void) => void) => void

export class ReceiveMemory {
  readonly #admit: Admit
  readonly #onWaiting: (isWaiting: boolean) => void
  /** Bytes since the last whole message. */
  #partial = 0
  /** The last message of what is being received. */
  #message: Buffer | undefined
  #isWaiting = false
  #endTurn: (() => void) | undefined
  #hasStopped = false

  /** `onWaiting`: a large message waits for its turn, and the socket is not to be read; or the turn has begun. */
  constructor(admit: Admit, onWaiting: (isWaiting: boolean) => void) {
    this.#admit = admit
    this.#onWaiting = onWaiting
  }

  get isWaiting(): boolean {
    return this.#isWaiting
  }

  /** A message is whole. One that is given is used until the next call of `arrived`, which frees it. */
  received(message: Buffer | undefined): void {
    this.#partial = 0
    this.#message = message
  }

  /** Bytes have arrived, and their messages were received: nothing uses those any more. */
  arrived(bytes: Buffer): void {
    this.#partial += bytes.length
    if (this.#message !== undefined) free(bytes, this.#message)
    this.#message = undefined
    if (this.#partial <= largeBytes || this.#isWaiting || this.#endTurn !== undefined) return
    this.#isWaiting = true
    this.#onWaiting(true)
    this.#admit((done) => {
      if (this.#hasStopped) return done()
      this.#isWaiting = false
      this.#endTurn = done
      this.#onWaiting(false)
    })
  }

  /** Returns the turn, if there is one. */
  finishTurn(): void {
    this.#endTurn?.()
    this.#endTurn = undefined
  }

  /** Returns the turn, and no longer waits for one. */
  cancelTurn(): void {
    this.#isWaiting = false
    this.finishTurn()
  }

  /** As `finishTurn`. A turn that begins later is returned at once. */
  stop(): void {
    this.#hasStopped = true
    this.finishTurn()
  }
}
