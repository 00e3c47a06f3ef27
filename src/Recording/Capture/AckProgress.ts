/** A capture's progress: audio received, handed to the journal, fsynced, stored and acknowledged; and the rate of what it receives. */
import type { Acknowledgement } from "./Capture.ts"
import { StoredProgress } from "./StoredProgress.ts"

/** Minimum time between acknowledgements: two commits, less their timer's jitter. A full second would often take three. */
const ackMillis = 900

/** Conversations that the capture has left and that are not stored yet. At the bound the first one is not reported any more. */
const maxLeft = 16

interface Entered {
  readonly id: string
  /** See `LiveConversation`. */
  readonly unstoredFrom: number
}

/** A conversation that the capture has left, and its last acknowledgement. */
interface Left {
  readonly conversation: Entered
  readonly stored: StoredProgress
  acked: Acknowledgement
}

export class AckProgress {
  readonly #now: () => number
  readonly #onAck: (ack: Acknowledgement) => void
  #conversation: Entered | undefined
  #stored = new StoredProgress()
  /** All of their audio is acknowledged. */
  #left: Array<Left> = []
  #received = { through: 0, bytes: 0 }
  #drained = { through: 0, bytes: 0 }
  #acked = { through: 0, bytes: 0 }
  #ackedStored: number | undefined
  #ackedAt = 0
  /** Final acknowledgements of conversations that the capture has left; not rate-limited. */
  #owed: Array<Left> = []
  #owedDrained: Array<Left> = []
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

  enter(conversation: Entered): void {
    this.#conversation = conversation
    const left = [...this.#left, ...this.#owedDrained, ...this.#owed].find(
      ({ acked }) => acked.conversation === conversation.id
    )
    this.#left = this.#left.filter((each) => each !== left)
    this.#stored = left?.stored ?? new StoredProgress()
    this.#ackedStored = undefined
    this.#received = { through: 0, bytes: 0 }
    this.#drained = { through: 0, bytes: 0 }
    this.#acked = { through: 0, bytes: 0 }
  }

  leave(): void {
    if (this.#conversation === undefined) return
    const stored = this.#ackedStored
    const acked = { conversation: this.#conversation.id, ...this.#received, stored }
    const left = { conversation: this.#conversation, stored: this.#stored, acked }
    this.#conversation = undefined
    if (this.#received.bytes > this.#acked.bytes) this.#owed.push(left)
    else if (this.#received.bytes > 0) this.#follow(left)
  }

  /** Leaves a conversation without a final acknowledgement: the client sends the rest again. */
  abandon(): void {
    this.#conversation = undefined
  }

  /** Audio arrived; it is not necessarily placed yet. */
  received(): void {
    if (this.#undrainedSince === 0) this.#undrainedSince = this.#now()
  }

  /**
   * Placed, or recognized as a replay, at Unix seconds `from` to `to`. Its timestamps end at `through`, which may decrease if the
   * audio `isDisplaced` from them.
   */
  placed(from: number, to: number, through: number, bytes: number, isDisplaced: boolean): void {
    this.#stored.placed(from, to, through)
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
    for (const owed of this.#owedDrained.splice(0)) {
      this.#onAck(owed.acked)
      this.#follow(owed)
    }
    if (this.#conversation === undefined || this.#drained.bytes === this.#acked.bytes) {
      this.#unackedSince = 0
      return false
    }
    const now = this.#now()
    if (now - this.#ackedAt < ackMillis) return true
    this.#ackedAt = now
    this.#acked = this.#drained
    this.#unackedSince = 0
    this.#send(this.#conversation)
    return false
  }

  /** Called once a second: acknowledges what was stored since the last acknowledgement. */
  reportStored(): void {
    this.#left = this.#left.filter((left) => {
      const { acked, conversation } = left
      const stored = left.stored.through(conversation.unstoredFrom)
      if (stored !== acked.stored) this.#onAck((left.acked = { ...acked, stored }))
      return stored === undefined || stored < acked.through
    })
    const conversation = this.#conversation
    if (conversation === undefined || this.#acked.bytes === 0 || this.#now() - this.#ackedAt < ackMillis) return
    if (this.#stored.through(conversation.unstoredFrom) === this.#ackedStored) return
    this.#ackedAt = this.#now()
    this.#send(conversation)
  }

  /** Reports what is stored of a conversation that the capture has left, unless it has entered it again. */
  #follow(left: Left): void {
    if (this.#stored === left.stored && this.#conversation !== undefined) return
    this.#left.push(left)
    if (this.#left.length > maxLeft) this.#left.shift()
  }

  #send({ id, unstoredFrom }: Entered): void {
    this.#ackedStored = this.#stored.through(unstoredFrom)
    this.#onAck({ conversation: id, ...this.#acked, stored: this.#ackedStored })
  }

  forget(): void {
    this.#conversation = undefined
    this.#left = []
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
