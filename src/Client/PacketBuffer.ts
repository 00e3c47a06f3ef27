/** Bounded buffer of the audio that the server has not acknowledged, in the order in which it was accepted. */
import * as Messages from "./Messages.ts"

export interface Packet {
  readonly conversation: string
  /** Unix seconds of the first sample. */
  readonly start: number
  readonly audio: Uint8Array
}

interface Entry extends Packet {
  readonly message: Uint8Array<ArrayBuffer>
  /** Index of the selection that it was sent in, on this connection. */
  selection: number
  /** Audio bytes of the selection up to its end. */
  end: number
}

/** A conversation that was selected on this connection, and the audio bytes sent since. */
interface Selection {
  readonly conversation: string
  bytes: number
}

/** A message to send, after the selection of its conversation if that changes. */
export interface Outgoing {
  readonly selects: string | undefined
  readonly message: Uint8Array<ArrayBuffer>
}

export class PacketBuffer {
  readonly capacity: number
  accepted = 0
  acknowledged = 0
  dropped = 0
  unsent = 0
  #entries: Array<Entry> = []
  /** Entries that this connection has sent; the others follow them. */
  #sent = 0
  #selections: Array<Selection> = []

  constructor(capacity: number) {
    this.capacity = capacity
  }

  get unacknowledged(): number {
    return this.accepted - this.acknowledged - this.dropped
  }

  get isInFlight(): boolean {
    return this.#sent > 0
  }

  get conversation(): string | undefined {
    return this.#entries[0]?.conversation
  }

  packets(): ReadonlyArray<Packet> {
    return this.#entries.map(({ audio, conversation, start }) => ({ conversation, start, audio }))
  }

  fits(bytes: number): boolean {
    return this.unacknowledged + bytes <= this.capacity
  }

  /** Call it only where the audio fits. */
  push(conversation: string, start: number, bytes: Uint8Array): void {
    const message = Messages.audio(start, bytes)
    const audio = message.subarray(Messages.audioHead)
    this.#entries.push({ conversation, start, audio, message, selection: -1, end: 0 })
    this.accepted += audio.length
    this.unsent += audio.length
  }

  /** Drops the oldest packets until `bytes` fit. */
  makeRoom(bytes: number): void {
    let count = 0
    while (!this.fits(bytes)) {
      const oldest = this.#entries[count]
      if (oldest === undefined) break
      if (count >= this.#sent) this.unsent -= oldest.audio.length
      this.dropped += oldest.audio.length
      count++
    }
    this.#entries.splice(0, count)
    this.#sent = Math.max(0, this.#sent - count)
  }

  /** Drops what this connection has sent: it will not be acknowledged, and is not to be sent again. */
  forgetSent(): void {
    for (const { audio } of this.#entries.splice(0, this.#sent)) this.dropped += audio.length
    this.#sent = 0
  }

  /** Begins a connection, or ends one: everything is sent again. */
  reset(): void {
    this.#sent = 0
    this.unsent = this.unacknowledged
    this.#selections = []
  }

  select(conversation: string): void {
    this.#selections.push({ conversation, bytes: 0 })
  }

  /** The next packet's conversation was left on this connection: its acknowledgements could not be told apart. */
  get isBlocked(): boolean {
    const conversation = this.#entries[this.#sent]?.conversation
    return this.#selections.slice(0, -1).some((each) => each.conversation === conversation)
  }

  /** Returns the next packet to send, and counts it as sent. */
  next(): Outgoing | undefined {
    const entry = this.#entries[this.#sent]
    if (entry === undefined || this.isBlocked) return undefined
    const isSelected = this.#selections.at(-1)?.conversation === entry.conversation
    if (!isSelected) this.select(entry.conversation)
    const selection = this.#selections.at(-1)
    if (selection !== undefined) entry.end = selection.bytes += entry.audio.length
    entry.selection = this.#selections.length - 1
    this.#sent++
    this.unsent -= entry.audio.length
    return { selects: isSelected ? undefined : entry.conversation, message: entry.message }
  }

  /**
   * Releases the first `bytes` of a conversation. Returns false if the server has passed over audio of an earlier one,
   * which this connection then never acknowledges.
   */
  acknowledge(conversation: string, bytes: number): boolean {
    const at = this.#selections.findIndex((each) => each.conversation === conversation)
    if (at === -1) return true
    const sent = this.#entries.splice(0, this.#sent)
    const left = sent.filter((entry) => entry.selection !== at || entry.end > bytes)
    this.#entries.unshift(...left)
    this.#sent = left.length
    const size = (entries: ReadonlyArray<Entry>) => entries.reduce((sum, { audio }) => sum + audio.length, 0)
    this.acknowledged += size(sent) - size(left)
    return left.every(({ selection }) => selection >= at)
  }
}
