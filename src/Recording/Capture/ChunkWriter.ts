/** Divides a capture's audio into chunks, and decides when each is sealed: when it is full or old, at a gap, and at the end. */
import { Timeline } from "../../Audio.ts"
import type { CaptureFailure } from "./Capture.ts"
import type { CaptureBuffer } from "./CaptureBuffer.ts"
import type { CaptureHost } from "./CaptureHost.ts"
import type { CaptureWriter } from "./CaptureWriter.ts"
import { JournalChunk } from "../Journal/JournalChunk.ts"
import type { LiveConversation } from "../Journal/LiveConversation.ts"
import { marginSeconds, type RecordedSpan } from "./RecordedSpan.ts"
import type { Placement } from "./ReplayCheck.ts"

interface Written {
  readonly chunk: JournalChunk
  readonly conversation: LiveConversation
}

export class ChunkWriter {
  readonly #capture: CaptureWriter
  readonly #host: CaptureHost
  readonly #buffer: CaptureBuffer
  #open: Written | undefined
  /** Sealed, and not completely durable. */
  #sealing: Array<Written> = []
  /** Length of a full chunk. The first one is shorter, so that captures opened together seal at different times. */
  #seconds: number

  constructor(capture: CaptureWriter, host: CaptureHost, buffer: CaptureBuffer) {
    this.#capture = capture
    this.#host = host
    this.#buffer = buffer
    this.#seconds = host.chunkSeconds * host.firstShare()
  }

  /** Whether a sealed chunk is not completely durable. */
  get isSealing(): boolean {
    return this.#sealing.length > 0
  }

  /** Appends to the open chunk or a new one, splitting the audio where a chunk is full. Stops at a bound, and returns it. */
  write(
    conversation: LiveConversation,
    { at: start, follows, shift }: Placement,
    audio: Uint8Array
  ): CaptureFailure | undefined {
    const rate = this.#capture.options.sampleRate
    const gap = start - (this.#open?.chunk.appendedEnd ?? start)
    // The chunk would cover other audio that lies in the gap; 1.5 samples allow for rounding.
    if (Math.abs(gap) > Timeline.toleranceSeconds || (follows && gap * rate > 1.5)) this.seal()
    let done = 0
    while (done < audio.length) {
      if (this.#open !== undefined && this.#open.chunk.appended >= this.#fullBytes(rate)) {
        this.seal()
        this.#seconds = this.#host.chunkSeconds
      }
      if (this.#open === undefined) {
        if (conversation.chunkCount >= this.#host.chunksPerConversation) return { _tag: "ConversationFull" }
        if (conversation.usage.chunks >= this.#host.chunksPerUser) return { _tag: "TooManyChunks" }
      }
      const { chunk } = this.#open ?? this.#begin(conversation, start + done / 2 / rate)
      const length = Math.min(audio.length - done, this.#fullBytes(rate) - chunk.appended)
      if (shift > 0) chunk.addClockShift(shift)
      // A view costs as much as the copy of a frame.
      this.#buffer.add(chunk, length === audio.length ? audio : audio.subarray(done, done + length))
      done += length
      conversation.end = Math.max(conversation.end, chunk.appendedEnd)
    }
    return undefined
  }

  sealIfOld(): void {
    const chunk = this.#open?.chunk
    if (chunk !== undefined && this.#host.now() - chunk.openedAt >= this.#host.chunkSeconds * 1000) this.seal()
  }

  /** Without effect if no chunk is open. */
  seal(): void {
    if (this.#open === undefined) return
    this.#open.chunk.state = "sealing"
    this.#open.chunk.sealedAt = this.#host.now()
    this.#sealing.push(this.#open)
    this.#open = undefined
    this.#host.markDirty(this.#capture)
  }

  /** Removes and returns the sealed chunks that are now completely durable. */
  takeDurable(): ReadonlyArray<JournalChunk> {
    const whole = this.#sealing.filter(({ chunk }) => chunk.durable === chunk.appended)
    if (whole.length > 0) this.#sealing = this.#sealing.filter(({ chunk }) => chunk.durable !== chunk.appended)
    return whole.map(({ chunk }) => chunk)
  }

  /** Seals the open chunk; removes and returns all chunks that are not completely durable. */
  takeAll(): ReadonlyArray<Written> {
    this.seal()
    return this.#sealing.splice(0)
  }

  /** The end of the conversation's audio, if it is still in the capture's buffer. */
  readonly tail = (): RecordedSpan | undefined => {
    if (this.#open === undefined) return undefined
    const { chunk, conversation } = this.#open
    if (chunk.appendedEnd < conversation.end - Timeline.toleranceSeconds) return undefined
    const run = this.#buffer.lastOf(chunk)
    if (run === undefined) return undefined
    const { sampleRate } = this.#capture.options
    const samples = run.audio.length / 2
    const start = chunk.start + run.chunkOffset / 2 / sampleRate
    const known = samples + Math.ceil(marginSeconds * sampleRate)
    return { start, sampleRate, samples: known, runs: [{ at: 0, samples, audio: run.audio }] }
  }

  #fullBytes(rate: number): number {
    return Math.max(1, Math.floor(this.#seconds * rate)) * 2
  }

  #begin(conversation: LiveConversation, start: number): Written {
    const { codec, sampleRate, uid } = this.#capture.options
    const chunk = new JournalChunk(
      { id: this.#host.newId(conversation), uid, conversation: conversation.id, start, sampleRate, codec },
      this.#host.now()
    )
    chunk.isUnchecked = !conversation.loaded
    const written = { chunk, conversation }
    this.#open = written
    conversation.addChunk(chunk)
    return written
  }
}
