/** What a sink has yet to receive: a sliding queue for each capture, drained in turns of the users. */
import { Effect, Exit, Option, Queue } from "effect"
import { FairQueue } from "../../Bulkhead.ts"
import type { LiveTranscript } from "./Transcript.ts"
import type { Sender } from "../MessageHandlers.ts"

/** Messages of a capture. One more displaces the oldest. */
export const maxMessages = 50

/** Characters of a capture's messages, which displace older ones beyond it. */
const maxCaptureChars = 2 * 1024 * 1024

/** Characters of all captures. Beyond it, a message displaces older ones of its own capture, or is dropped. */
const maxChars = 32 * 1024 * 1024

/** A batch ends with the message that reaches one of these. */
const batchSegments = 500
const batchChars = 1024 * 1024

interface Lane {
  readonly sender: Sender
  readonly messages: Queue.Queue<LiveTranscript>
  chars: number
  /** It has a place among the lanes that wait for their turn. */
  isWaiting: boolean
}

export class LiveQueue {
  readonly #lanes = new WeakMap<Sender, Lane>()
  readonly #waiting = FairQueue.make<Lane>()
  #chars = 0
  #segments = 0
  #dropped = 0

  /** Segments that wait. */
  get segments(): number {
    return this.#segments
  }

  /** Segments that were dropped since the last call. */
  takeDropped(): number {
    const dropped = this.#dropped
    this.#dropped = 0
    return dropped
  }

  offer(sender: Sender, message: LiveTranscript): void {
    const lane = this.#laneOf(sender)
    // A sliding queue drops silently, so what would slide out is taken before.
    while (
      Queue.isFullUnsafe(lane.messages) ||
      lane.chars + message.chars > maxCaptureChars ||
      this.#chars + message.chars > maxChars
    ) {
      const oldest = this.#takeFrom(lane)
      if (oldest === undefined) break
      this.drop(sender, oldest)
    }
    if (this.#chars + message.chars > maxChars) return this.drop(sender, message)
    Queue.offerUnsafe(lane.messages, message)
    lane.chars += message.chars
    this.#chars += message.chars
    this.#segments += message.segments.length
    this.#wait(lane)
  }

  /** Removes the next messages, at most a batch. */
  takeBatch(): ReadonlyArray<Queued> {
    const batch: Array<Queued> = []
    let [segments, chars] = [0, 0]
    while (segments < batchSegments && chars < batchChars) {
      const lane = this.#waiting.next()
      if (lane === undefined) break
      lane.isWaiting = false
      const message = this.#takeFrom(lane)
      if (message === undefined) continue
      batch.push({ sender: lane.sender, message })
      segments += message.segments.length
      chars += message.chars
      if (Queue.sizeUnsafe(lane.messages) > 0) this.#wait(lane)
    }
    return batch
  }

  /** Counts the message as dropped. */
  drop(sender: Sender, { segments }: LiveTranscript): void {
    sender.dropped += segments.length
    this.#dropped += segments.length
  }

  #laneOf(sender: Sender): Lane {
    const known = this.#lanes.get(sender)
    if (known !== undefined) return known
    const messages = Effect.runSync(Queue.sliding<LiveTranscript>(maxMessages))
    const lane: Lane = { sender, messages, chars: 0, isWaiting: false }
    this.#lanes.set(sender, lane)
    return lane
  }

  #wait(lane: Lane): void {
    if (!lane.isWaiting) this.#waiting.add(lane.sender.uid, lane)
    lane.isWaiting = true
  }

  #takeFrom(lane: Lane): LiveTranscript | undefined {
    const taken = Option.flatMap(Option.fromUndefinedOr(Queue.takeUnsafe(lane.messages)), Exit.getSuccess)
    if (Option.isNone(taken)) return undefined
    const message = taken.value
    lane.chars -= message.chars
    this.#chars -= message.chars
    this.#segments -= message.segments.length
    return message
  }
}

export interface Queued {
  readonly sender: Sender
  readonly message: LiveTranscript
}
