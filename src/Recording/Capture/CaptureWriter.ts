/** The hot path: takes frames in the socket's event, places and buffers them for the next commit. One copy, no fiber. */
import { Bitstream, Timeline } from "../../Audio.ts"
import type { Batch } from "../Journal/Batch.ts"
import type { Capture, CaptureFailure, CaptureOptions } from "./Capture.ts"
import { Backlog } from "./Backlog.ts"
import { CaptureBuffer } from "./CaptureBuffer.ts"
import { ChunkWriter } from "./ChunkWriter.ts"
import type { CaptureHost } from "./CaptureHost.ts"
import type { CommitSource } from "../Journal/Journal.ts"
import type { JournalChunk } from "../Journal/JournalChunk.ts"
import type { ConversationWriter, LiveConversation } from "../Journal/LiveConversation.ts"
import { type Placement, ReplayCheck, leastShiftSeconds } from "./ReplayCheck.ts"
import { AckProgress, ByteRate } from "./AckProgress.ts"
import type { Recalled } from "./RecordedAudio.ts"

/** A shorter part of a message waits for room for more: durable alone, it might not be recognized when the message is sent again. */
const leastPartBytes = 4096

export class CaptureWriter implements CommitSource, Capture, ConversationWriter {
  readonly options: CaptureOptions
  readonly bitstream: Bitstream.Bitstream
  readonly openedAt: number
  readonly rate: ByteRate
  /** Sealed chunks of this capture that were deferred by a full upload queue. */
  deferred = 0
  readonly #host: CaptureHost
  readonly #buffer: CaptureBuffer
  readonly #backlog = new Backlog()
  /** The pending reply of the host. */
  #waiting: "entering" | "recalling" | undefined
  #conversation: LiveConversation | undefined
  readonly #chunks: ChunkWriter
  #inFlight = false
  #failure: CaptureFailure | undefined
  #gaveUp = false
  #onClosed: Array<() => void> = []
  #closing = false
  #isSuperseded = false
  #hasEnded = false
  readonly #progress: AckProgress
  #replayCheck: ReplayCheck
  /** The last clock shift reported to the client, in seconds; 0 if there is none. */
  #reportedShift = 0

  constructor(options: CaptureOptions, host: CaptureHost) {
    this.options = options
    this.#host = host
    this.bitstream = Bitstream.of(options.codec, options.sampleRate)
    const { largestPart, usualBytesPerSecond } = this.bitstream
    const most = Math.max(host.bufferBytes, largestPart)
    this.#buffer = new CaptureBuffer(most, Math.ceil(usualBytesPerSecond * host.usualSeconds))
    this.#progress = new AckProgress(host.monotonic, options.onAck)
    this.#replayCheck = new ReplayCheck(this.bitstream, options.exact)
    this.#chunks = new ChunkWriter(this, host, this.#buffer)
    this.openedAt = host.now()
    this.rate = new ByteRate(this.openedAt)
  }

  append(start: number, audio: Uint8Array): "ok" | "full" | "refused" {
    // edge: called in the socket's event, where what is thrown would end the process, and so every capture.
    try {
      return this.#append(start, audio)
    } catch (cause) {
      this.#die(cause)
      return "full"
    }
  }

  #append(start: number, audio: Uint8Array): "ok" | "full" | "refused" {
    if (this.#failure !== undefined || this.#closing) return "full"
    if (this.#conversation === undefined && this.#waiting === undefined && this.#backlog.length === 0) return "refused"
    this.rate.received += audio.length
    this.#progress.received()
    let rest = audio
    let stamp = start
    if (this.#backlog.length === 0 && this.#waiting === undefined && audio.length <= this.#buffer.room) {
      stamp = this.#replayCheck.stampOf(start)
      const placed = this.#place(stamp, audio)
      if (placed === audio.length) return "ok"
      rest = audio.subarray(placed)
      stamp += this.#secondsOf(audio, placed)
    }
    this.#backlog.push({ _tag: "Audio", start: stamp, audio: Uint8Array.from(rest) })
    this.#wait()
    // A replay takes no room, so nothing would call `onRoom` later.
    return this.#backlog.length > 0 || this.#waiting !== undefined ? "full" : "ok"
  }

  switchTo(conversation: string): void {
    if (this.#failure !== undefined || this.#closing) return
    this.#backlog.push({ _tag: "Switch", conversation })
    this.#wait()
  }

  sealIfOld(): void {
    this.#chunks.sealIfOld()
  }

  seal(): void {
    if (this.#failure !== undefined || this.#closing || this.#backlog.last?._tag === "Seal") return
    this.#backlog.push({ _tag: "Seal" })
    this.#wait()
  }

  get isSealing(): boolean {
    return this.#backlog.hasSeal
  }

  reportStored(): void {
    this.#progress.reportStored()
  }

  get conversation(): LiveConversation | undefined {
    return this.#conversation
  }

  get waitingBytes(): number {
    return this.#buffer.used + this.#backlog.bytes
  }

  get ackLag(): number {
    return this.#progress.lag
  }

  /** Seals and commits all received audio, then calls `done`. */
  close(done: () => void): void {
    if (this.#hasEnded) return done()
    this.#closing = true
    this.#onClosed.push(done)
    this.#advance()
  }

  /** Another capture writes the conversation now. Closes, and fails with `Superseded` once all received audio is written. */
  supersede(done: () => void): void {
    this.#isSuperseded = !this.#closing
    this.close(done)
  }

  /** After this failure the client resends what is not acknowledged, and it is compared with the stored audio. */
  loaded(isOverlapping: boolean): void {
    if (!isOverlapping) return this.#host.markDirty(this)
    this.#fail({ _tag: "NotWritten", cause: new Error("audio was received for a time that is stored already") })
  }

  lost(start: number, seconds: number): void {
    if (this.#conversation !== undefined) this.options.onLost?.({ conversation: this.#conversation.id, start, seconds })
  }

  purged(): void {
    this.#fail({ _tag: "Purged" })
    this.#endIfClosing()
  }

  entered(conversation: LiveConversation): void {
    this.#waiting = undefined
    if (this.#failure !== undefined) {
      this.#host.leave(this, conversation)
      if (this.#closing) this.#end()
      return
    }
    this.#conversation = conversation
    this.#replayCheck = new ReplayCheck(this.bitstream, this.options.exact)
    this.#reportedShift = 0
    this.#progress.enter(conversation)
    this.#resume()
  }

  /** The reply to the host's `recall` from Unix second `at`; undefined if the recorded audio can't be read. */
  recalled(at: number, recalled: Recalled | undefined): void {
    this.#waiting = undefined
    if (this.#failure !== undefined || this.#conversation === undefined) {
      if (this.#closing) this.#end()
      return
    }
    const { end } = this.#conversation
    this.#guard(() => this.#replayCheck.recalled(at, end, recalled?.span, recalled?.moved ?? 0))
    this.#resume()
  }

  drainInto(batch: Batch): boolean {
    this.#inFlight = true
    if (!this.#buffer.drainInto(batch)) return false
    this.#progress.drained(this.#backlog.length > 0)
    return true
  }

  settled(error: Error | undefined): void {
    this.#inFlight = false
    if (error !== undefined) this.#failure ??= { _tag: "NotWritten", cause: error }
    if (this.#failure !== undefined) {
      this.#giveUp(this.#failure)
      if (this.#closing) this.#end()
      return
    }
    for (const chunk of this.#chunks.takeDurable()) this.#handOver(chunk)
    // Acknowledged audio must be audible: while the stored audio is unknown, what was placed may lie beneath it.
    if (this.#conversation?.loaded !== false && this.#progress.durable()) this.#host.markDirty(this)
    if (this.#backlog.length > 0) this.#resume()
    else this.#advance()
  }

  #wait(): void {
    if (this.#backlog.bytes > this.#host.backlogBytes) return this.#fail({ _tag: "BacklogFull" })
    if (this.#backlog.length === 1 && this.#waiting === undefined) this.#advance()
    if (this.#buffer.used > 0) this.#host.markUrgent(this)
  }

  /** Processes the backlog, and calls `onRoom` when it is empty. */
  #resume(): void {
    this.#advance()
    if (this.#backlog.length === 0 && this.#waiting === undefined && !this.#closing) this.options.onRoom()
  }

  /** Processes the backlog as far as there is room; ends a closing capture. */
  #advance(): void {
    this.#guard(() => this.#processBacklog())
  }

  #processBacklog(): void {
    while (this.#waiting === undefined && this.#failure === undefined) {
      const item = this.#backlog.first
      if (item === undefined) break
      if (item._tag === "Switch") {
        this.#backlog.shift()
        this.#leave()
        this.#waiting = "entering"
        this.#host.enter(this, item.conversation)
        continue
      }
      if (item._tag === "Seal") {
        this.#backlog.shift()
        this.#chunks.seal()
        this.#host.markUrgent(this)
        continue
      }
      const length = this.bitstream.cut(item.audio, this.#buffer.room)
      const isSmall = length < Math.min(item.audio.length, leastPartBytes)
      if (length === 0 || (isSmall && this.#buffer.used > 0)) return this.#host.markUrgent(this)
      const stamp = this.#replayCheck.stampOf(item.start)
      const placed = this.#place(stamp, item.audio.subarray(0, length))
      if (this.#failure !== undefined) break
      if (placed === item.audio.length) this.#backlog.shift()
      else this.#backlog.leave(stamp + this.#secondsOf(item.audio, placed), item.audio.subarray(placed))
      if (placed < length) this.#recall()
      if (placed < length && this.#waiting === undefined) return
    }
    if (!this.#closing || this.#waiting !== undefined || this.#backlog.length > 0) return
    this.#leave()
    if (this.#chunks.isSealing || !this.#buffer.isEmpty) this.#host.markUrgent(this)
    else if (this.#progress.owes) this.#host.markDirty(this)
    else if (!this.#inFlight) this.#end()
  }

  #end(): void {
    if (this.#hasEnded) return
    this.#hasEnded = true
    this.#buffer.clear()
    if (this.#isSuperseded) this.options.onFailure({ _tag: "Superseded" })
    for (const done of this.#onClosed.splice(0)) done()
  }

  #leave(): void {
    this.#chunks.seal()
    if (this.#conversation === undefined) return
    if (this.#conversation.loaded) this.#progress.leave()
    else this.#progress.abandon()
    if (this.#progress.owes) this.#host.markDirty(this)
    this.#host.leave(this, this.#conversation)
    this.#conversation = undefined
  }

  /** Returns the bytes that were placed. The rest needs a `recall` first. */
  #place(stamp: number, audio: Uint8Array): number {
    const conversation = this.#conversation
    if (conversation === undefined) return audio.length
    this.#host.markDirty(this)
    let [done, doneSamples] = [0, 0]
    while (done < audio.length && this.#failure === undefined) {
      const from = stamp + doneSamples / this.options.sampleRate
      const rest = done === 0 ? audio : audio.subarray(done)
      const step = this.#replayCheck.next(from, rest, conversation.end, this.#chunks.tail)
      if (step._tag === "Recall") return done
      const bytes = this.bitstream.bytesOf(rest, step.samples)
      done += bytes
      doneSamples += step.samples
      const seconds = step.samples / this.options.sampleRate
      const through = from + seconds
      if (step._tag === "New") {
        if (step.at >= conversation.end - Timeline.toleranceSeconds) conversation.clockShift = step.shift
        this.#write(conversation, step, bytes === rest.length ? rest : rest.subarray(0, bytes))
        this.#progress.placed(step.at, step.at + seconds, through, bytes, step.isDisplaced)
        if (step.shift !== this.#reportedShift) this.#reportShift(step.shift)
      } else {
        const at = this.#replayCheck.positionOf(from, conversation.end)
        this.#progress.placed(at, at + seconds, through, bytes, false)
        this.#host.replayed(seconds)
      }
    }
    return audio.length
  }

  /** Clock drift is reported in steps of at least `leastShiftSeconds`. */
  #reportShift(shift: number): void {
    if (shift !== 0 && Math.abs(shift - this.#reportedShift) < leastShiftSeconds) return
    this.#reportedShift = shift
    if (shift !== 0) this.#host.shifted(this, shift)
  }

  /** Reads what is recorded at the first audio of the backlog, once all audio of this capture is durable. */
  #recall(): void {
    const item = this.#backlog.first
    const conversation = this.#conversation
    if (item?._tag !== "Audio" || conversation === undefined) return
    if (!this.#buffer.isEmpty || this.#inFlight) return this.#host.markUrgent(this)
    this.#waiting = "recalling"
    const at = this.#replayCheck.positionOf(item.start, conversation.end)
    const { mayHaveMoved, replayEnd } = this.#replayCheck
    const audio = mayHaveMoved ? item.audio : undefined
    this.#host.recall(this, conversation, { bitstream: this.bitstream, at, audio, replayEnd })
  }

  #secondsOf(audio: Uint8Array, bytes: number): number {
    return this.bitstream.samples(audio.subarray(0, bytes)) / this.options.sampleRate
  }

  #write(conversation: LiveConversation, placement: Placement & { readonly samples: number }, audio: Uint8Array): void {
    const failure = this.#chunks.write(conversation, placement, audio)
    if (failure !== undefined) return this.#fail(failure)
    if (this.#buffer.used * 4 >= this.#host.bufferBytes * 3) this.#host.markUrgent(this)
  }

  #fail(failure: CaptureFailure): void {
    this.#failure ??= failure
    if (!this.#inFlight) this.#giveUp(this.#failure)
  }

  #guard(work: () => void): void {
    // edge: as in `append`.
    try {
      work()
    } catch (cause) {
      this.#die(cause)
    }
  }

  /** Ends this capture alone, and settles everything that waits for its end. */
  #die(cause: unknown): void {
    this.#host.died(this, cause)
    this.#fail({ _tag: "NotWritten", cause: cause instanceof Error ? cause : new Error(String(cause)) })
    this.#endIfClosing()
  }

  #endIfClosing(): void {
    if (this.#closing && !this.#inFlight && this.#waiting === undefined) this.#end()
  }

  #handOver(chunk: JournalChunk): void {
    chunk.state = "waiting"
    chunk.compact()
    this.#host.sealed(this, chunk)
  }

  /** Keeps durable audio and drops the rest, which was never acknowledged. */
  #giveUp(failure: CaptureFailure): void {
    if (this.#gaveUp) return
    this.#gaveUp = true
    const conversation = this.#conversation
    const sealing = this.#chunks.takeAll()
    this.#buffer.clear()
    this.#backlog.clear()
    this.#conversation = undefined
    this.#progress.forget()
    for (const { chunk, conversation } of sealing) {
      chunk.settle()
      conversation.recomputeEnd()
      if (chunk.durable === 0) this.#host.abandoned(chunk)
      else this.#handOver(chunk)
    }
    if (conversation !== undefined) this.#host.leave(this, conversation)
    if (!this.#closing) this.options.onFailure(failure)
  }
}
