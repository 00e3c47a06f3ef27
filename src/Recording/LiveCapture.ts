/**
 * The hot path: takes frames in the socket's own message event, places them on the timeline and keeps them until the
 * journal's next commit. Plain code, no fiber, one copy per frame.
 */
import { Backlog } from "./Backlog.ts"
import type { Batch } from "./Batch.ts"
import type { Capture, CaptureFailure, CaptureOptions } from "./Capture.ts"
import { CaptureBuffer } from "./CaptureBuffer.ts"
import type { CaptureHost } from "./CaptureHost.ts"
import { toleranceSeconds } from "./Coverage.ts"
import type { Source } from "./Journal.ts"
import { LiveChunk } from "./LiveChunk.ts"
import type { LiveConversation } from "./LiveConversation.ts"
import { Progress } from "./Progress.ts"

/** A jump of the clock that starts a new chunk when spans are not exact. */
const looseGapSeconds = 2
/** Of the last second in the rate. */
const rateWeight = 0.25

export class LiveCapture implements Source, Capture {
  readonly options: CaptureOptions
  readonly openedAt: number
  /** Bytes of audio since it was opened. */
  received = 0
  /** Of late. */
  bytesPerSecond = 0
  /** Its sealed chunks that slid out of the upload queue. */
  deferred = 0
  readonly #host: CaptureHost
  readonly #buffer: CaptureBuffer
  readonly #backlog = new Backlog()
  #entering = false
  #conversation: LiveConversation | undefined
  #chunk: LiveChunk | undefined
  /** Sealed, and not yet whole in the journal. */
  #sealing: Array<{ readonly chunk: LiveChunk; readonly conversation: LiveConversation }> = []
  #inFlight = false
  #failure: CaptureFailure | undefined
  #gaveUp = false
  #onClosed: (() => void) | undefined
  #closing = false
  readonly #progress: Progress
  /** The last drop, until what it lay on is known to be durable. */
  #dropped: { readonly conversation: LiveConversation; readonly retractions: number } | undefined
  /** Unix seconds at which the audio so far ends, when spans are not exact; also when its chunk is sealed. */
  #looseEnd: number | undefined
  #measured = { at: 0, received: 0 }

  constructor(options: CaptureOptions, host: CaptureHost) {
    this.options = options
    this.#host = host
    this.#buffer = new CaptureBuffer(host.bufferBytes, Math.ceil(options.sampleRate * 2 * host.usualSeconds))
    this.#progress = new Progress(host.monotonic, options.onAck)
    this.openedAt = host.now()
    this.#measured.at = this.openedAt
  }

  append(start: number, audio: Uint8Array): "ok" | "full" | "refused" {
    if (this.#failure !== undefined || this.#closing) return "full"
    if (this.#conversation === undefined && !this.#entering && this.#backlog.length === 0) return "refused"
    this.received += audio.length
    this.#progress.came()
    if (this.#backlog.length > 0 || this.#entering || audio.length > this.#buffer.room) {
      this.#backlog.push({ _tag: "Audio", start, audio: Uint8Array.from(audio) })
      this.#wait()
      // A replay takes no room, however long it is: nobody would say later that there is some.
      return this.#backlog.length > 0 || this.#entering ? "full" : "ok"
    }
    this.#place(start, audio)
    return "ok"
  }

  switchTo(conversation: string): void {
    if (this.#failure !== undefined || this.#closing) return
    this.#backlog.push({ _tag: "Switch", conversation })
    this.#wait()
  }

  /** Seals the chunk if it is older than a chunk may be. */
  sealIfOld(): void {
    const chunk = this.#chunk
    if (chunk !== undefined && this.#host.now() - chunk.openedAt >= this.#host.chunkSeconds * 1000) this.#seal()
  }

  /** Called about once a second. */
  measure(): void {
    const now = this.#host.now()
    const { at, received } = this.#measured
    if (now <= at) return
    const current = ((this.received - received) * 1000) / (now - at)
    this.bytesPerSecond += (current - this.bytesPerSecond) * (received === 0 ? 1 : rateWeight)
    this.#measured = { at: now, received: this.received }
  }

  get conversation(): LiveConversation | undefined {
    return this.#conversation
  }

  /** Bytes that wait for the journal. */
  get waitingBytes(): number {
    return this.#buffer.used + this.#backlog.bytes
  }

  /** Seconds since the oldest audio came that is not acknowledged. */
  get ackLag(): number {
    return this.#progress.lag
  }

  /** Seals and commits what was received; `done` is called when nothing is left to do. */
  close(done: () => void): void {
    this.#closing = true
    this.#onClosed = done
    this.#advance()
  }

  /** The conversation that `enter` was asked for. */
  entered(conversation: LiveConversation): void {
    this.#entering = false
    if (this.#failure !== undefined) {
      this.#host.leave(conversation)
      if (this.#closing) this.#end()
      return
    }
    this.#conversation = conversation
    this.#progress.enter(conversation.id)
    this.#advance()
    if (this.#backlog.length === 0 && !this.#entering && !this.#closing) this.options.onRoom()
  }

  drainInto(batch: Batch, commit: number | undefined): boolean {
    this.#inFlight = true
    if (!this.#buffer.drainInto(batch)) return false
    this.#progress.drained(commit, this.#backlog.length > 0)
    return true
  }

  settled(error: Error | undefined): void {
    this.#inFlight = false
    if (error !== undefined) this.#failure ??= { _tag: "NotWritten", cause: error }
    const dropped = this.#dropped
    if (dropped !== undefined && dropped.conversation.retractions !== dropped.retractions) {
      this.#failure ??= { _tag: "NotWritten", cause: new Error("what was replayed was not written after all") }
    }
    if (!this.#progress.waitsForAll) this.#dropped = undefined
    if (this.#failure !== undefined) {
      this.#giveUp(this.#failure)
      if (this.#closing) this.#end()
      return
    }
    const whole = this.#sealing.filter(({ chunk }) => chunk.durable === chunk.appended)
    if (whole.length > 0) {
      this.#sealing = this.#sealing.filter(({ chunk }) => chunk.durable !== chunk.appended)
      for (const { chunk } of whole) this.#handOver(chunk)
    }
    if (this.#progress.durable()) this.#host.markDirty(this)
    const full = this.#backlog.length > 0
    this.#advance()
    if (full && this.#backlog.length === 0 && !this.#entering && !this.#closing) this.options.onRoom()
  }

  #wait(): void {
    if (this.#backlog.bytes > this.#host.backlogBytes) return this.#fail({ _tag: "BacklogFull" })
    if (this.#backlog.length === 1 && !this.#entering) this.#advance()
    if (this.#buffer.used > 0) this.#host.markUrgent(this)
  }

  /** Works off the backlog as far as there is room; ends a closing capture. */
  #advance(): void {
    while (!this.#entering && this.#failure === undefined) {
      const item = this.#backlog.first
      if (item === undefined) break
      if (item._tag === "Switch") {
        this.#backlog.shift()
        this.#leave()
        this.#entering = true
        this.#host.enter(this, item.conversation)
        continue
      }
      const { room } = this.#buffer
      const length = Math.min(item.audio.length, room - (room % 2))
      if (length === 0) return this.#host.markUrgent(this)
      if (length === item.audio.length) this.#backlog.shift()
      else this.#backlog.leave(item.start + length / 2 / this.options.sampleRate, item.audio.subarray(length))
      this.#place(item.start, item.audio.subarray(0, length))
    }
    if (!this.#closing || this.#entering || this.#backlog.length > 0) return
    this.#leave()
    if (this.#sealing.length > 0 || !this.#buffer.isEmpty) this.#host.markUrgent(this)
    else if (this.#progress.owes) this.#host.markDirty(this)
    else if (!this.#inFlight) this.#end()
  }

  #end(): void {
    const done = this.#onClosed
    this.#onClosed = undefined
    this.#buffer.clear()
    done?.()
  }

  #leave(): void {
    if (this.#chunk !== undefined) this.#seal()
    if (this.#conversation === undefined) return
    this.#progress.leave()
    if (this.#progress.owes) this.#host.markDirty(this)
    this.#looseEnd = undefined
    this.#host.leave(this.#conversation)
    this.#conversation = undefined
  }

  #seal(): void {
    if (this.#chunk === undefined || this.#conversation === undefined) return
    this.#chunk.state = "sealing"
    this.#chunk.sealedAt = this.#host.now()
    this.#sealing.push({ chunk: this.#chunk, conversation: this.#conversation })
    this.#chunk = undefined
    this.#host.markDirty(this)
  }

  #place(start: number, audio: Uint8Array): void {
    const conversation = this.#conversation
    if (conversation === undefined) return
    const rate = this.options.sampleRate
    const end = start + audio.length / 2 / rate
    this.#host.markDirty(this)
    const chunkEnd = this.#chunk?.appendedEnd
    if (!this.options.exact) {
      const before = this.#looseEnd
      const near = before !== undefined && Math.abs(start - before) <= looseGapSeconds
      this.#looseEnd = (near ? before : start) + audio.length / 2 / rate
      this.#write(conversation, near ? before : start, audio, near)
      return this.#progress.placed(this.#looseEnd, audio.length)
    }
    this.#progress.placed(end, audio.length)
    const last = conversation.coverage.last
    const next = chunkEnd !== undefined && Math.abs(start - chunkEnd) <= toleranceSeconds
    if (next && last !== undefined && Math.abs(last.end - chunkEnd) <= toleranceSeconds) {
      return this.#write(conversation, start, audio, true)
    }
    let kept = 0
    for (const part of conversation.coverage.uncovered(start, end)) {
      if (this.#failure !== undefined) return
      const from = part.start - start <= toleranceSeconds ? 0 : Math.round((part.start - start) * rate)
      const to = end - part.end <= toleranceSeconds ? audio.length / 2 : Math.round((part.end - start) * rate)
      if (to <= from) continue
      const at = this.#chunk?.appendedEnd
      const contiguous = at !== undefined && Math.abs(part.start - at) <= toleranceSeconds
      this.#write(conversation, part.start, audio.subarray(from * 2, to * 2), contiguous)
      kept += to - from
    }
    if (kept === audio.length / 2) return
    this.#progress.dropped(this.#host.commitsStarted())
    this.#dropped = { conversation, retractions: conversation.retractions }
    this.#host.overlapped(this, conversation.id, start, audio, kept)
  }

  /** Appends to the chunk, or to a new one, cutting where a chunk is full. */
  #write(conversation: LiveConversation, start: number, audio: Uint8Array, contiguous: boolean): void {
    if (!contiguous) this.#seal()
    const rate = this.options.sampleRate
    const chunkBytes = Math.floor(this.#host.chunkSeconds * rate) * 2
    let done = 0
    while (done < audio.length) {
      if (this.#chunk !== undefined && this.#chunk.appended >= chunkBytes) this.#seal()
      if (this.#chunk === undefined) {
        if (conversation.chunkCount >= this.#host.chunksPerConversation) return this.#fail({ _tag: "ConversationFull" })
        if (conversation.holding.chunks >= this.#host.chunksPerUser) return this.#fail({ _tag: "TooManyChunks" })
      }
      const chunk = this.#chunk ?? this.#open(conversation, start + done / 2 / rate)
      const length = Math.min(audio.length - done, chunkBytes - chunk.appended)
      const before = chunk.appendedEnd
      this.#buffer.add(chunk, audio.subarray(done, done + length))
      done += length
      const { last } = conversation.coverage
      if (last !== undefined && last.start <= chunk.start && Math.abs(last.end - before) <= toleranceSeconds) {
        last.end = Math.max(last.end, chunk.appendedEnd)
      } else conversation.coverage.add(chunk.start, chunk.appendedEnd)
    }
    if (this.#buffer.used * 4 >= this.#host.bufferBytes * 3) this.#host.markUrgent(this)
  }

  #open(conversation: LiveConversation, start: number): LiveChunk {
    const { codec, sampleRate, uid } = this.options
    const chunk = new LiveChunk(
      { id: this.#host.newId(), uid, conversation: conversation.id, start, sampleRate, codec },
      this.#host.now()
    )
    this.#chunk = chunk
    conversation.addChunk(chunk)
    return chunk
  }

  #fail(failure: CaptureFailure): void {
    this.#failure ??= failure
    if (!this.#inFlight) this.#giveUp(this.#failure)
  }

  #handOver(chunk: LiveChunk): void {
    chunk.state = "waiting"
    this.#host.sealed(this, chunk)
  }

  /** Keeps what is durable, forgets the rest: it was never acknowledged. */
  #giveUp(failure: CaptureFailure): void {
    if (this.#gaveUp) return
    this.#gaveUp = true
    const conversation = this.#conversation
    this.#seal()
    const sealing = this.#sealing
    this.#sealing = []
    this.#buffer.clear()
    this.#backlog.clear()
    this.#conversation = undefined
    this.#progress.forget()
    for (const { chunk, conversation } of sealing) {
      if (chunk.durable < chunk.appended) conversation.retractions++
      conversation.coverage.remove(chunk.durableEnd, chunk.appendedEnd)
      chunk.appended = chunk.durable
      if (chunk.durable === 0) this.#host.abandoned(chunk)
      else this.#handOver(chunk)
    }
    if (conversation !== undefined) this.#host.leave(conversation)
    if (!this.#closing) this.options.onFailure(failure)
  }
}
