/** A capture's progress: audio received, handed to the journal, fsynced and acknowledged; and the rate of what it receives. */
import type { Acknowledgement } from "./Capture.ts"

/** Minimum time between acknowledgements: two commits, less their timer's jitter. A full second would often take three. */
const ackMillis = 900

export class AckProgress {
  readonly #now: () => number
  readonly #onAck: (ack: Acknowledgement) => void
  #conversation: string | undefined
  #received = { through: 0, bytes: 0 }
  #drained = { through: 0, bytes: 0 }
  #acked = { through: 0, bytes: 0 }
  #ackedAt = 0
  /** Final acknowledgements of conversations that the capture has left; not rate-limited. */
  #owed: Array<Acknowledgement> = []
  #owedDrained: Array<Acknowledgement> = []
  /** Clock milliseconds at which the oldest undrained and the oldest unacknowledged audio arrived; 0 if there is none. */
  #undrainedSince = 0
  #unackedSince = 0

  constructor(now: () => number, onAck: (ack: Acknowledgement) => void) {
    this.#now = now
    this.#onAck = onAck
  }

  get owes(): boolean {
    return this.#owed.length > 0
  }

  /** Age of the oldest unacknowledged audio, in seconds. */
  get lag(): number {
    const since = this.#unackedSince === 0 ? this.#undrainedSince : this.#unackedSince
    return since === 0 ? 0 : Math.max(0, this.#now() - since) / 1000
  }

  enter(conversation: string): void {
    this.#conversation = conversation
    this.#received = { through: 0, bytes: 0 }
    this.#drained = { through: 0, bytes: 0 }
    this.#acked = { through: 0, bytes: 0 }
  }

  leave(): void {
    if (this.#conversation !== undefined && this.#received.bytes > this.#acked.bytes) {
      this.#owed.push({ conversation: this.#conversation, ...this.#received })
    }
    this.#conversation = undefined
  }

  /** Leaves a conversation without a final acknowledgement: the client sends the rest again. */
  abandon(): void {
    this.#conversation = undefined
  }

  /** Audio arrived; it is not necessarily placed yet. */
  received(): void {
    if (this.#undrainedSince === 0) this.#undrainedSince = this.#now()
  }

  /** Placed or recognized as a replay up to Unix second `through`, which may decrease if the audio `isDisplaced` from its timestamps. */
  placed(through: number, bytes: number, isDisplaced: boolean): void {
    this.#received.through = isDisplaced ? through : Math.max(this.#received.through, through)
    this.#received.bytes += bytes
  }

  /** All placed audio is in a commit. `more`: unplaced audio is left. */
  drained(more: boolean): void {
    if (this.#unackedSince === 0) this.#unackedSince = this.#undrainedSince
    this.#undrainedSince = more ? this.#now() : 0
    this.#drained = { ...this.#received }
    this.#owedDrained.push(...this.#owed.splice(0))
  }

  /** The commit is fsynced. Returns whether an acknowledgement is held back by the rate limit. */
  durable(): boolean {
    for (const owed of this.#owedDrained.splice(0)) this.#onAck(owed)
    if (this.#conversation === undefined || this.#drained.bytes === this.#acked.bytes) {
      this.#unackedSince = 0
      return false
    }
    const now = this.#now()
    if (now - this.#ackedAt < ackMillis) return true
    this.#ackedAt = now
    this.#acked = this.#drained
    this.#unackedSince = 0
    this.#onAck({ conversation: this.#conversation, ...this.#acked })
    return false
  }

  forget(): void {
    this.#conversation = undefined
    this.#owed = []
    this.#owedDrained = []
  }
}

/** Weight of the latest second in the rate. */
const rateWeight = 0.25

/** Received bytes of a capture, and their smoothed rate. */
export class ByteRate {
  received = 0
  perSecond = 0
  #measured: { readonly at: number; readonly received: number }

  constructor(openedAt: number) {
    this.#measured = { at: openedAt, received: 0 }
  }

  measure(now: number): void {
    const { at, received } = this.#measured
    if (now <= at) return
    const current = ((this.received - received) * 1000) / (now - at)
    this.perSecond += (current - this.perSecond) * (received === 0 ? 1 : rateWeight)
    this.#measured = { at: now, received: this.received }
  }
}
