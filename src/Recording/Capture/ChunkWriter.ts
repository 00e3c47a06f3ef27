/** Divides a capture's audio into chunks, and decides when each is sealed: when it is full or old, at a gap, and at the end. */
import { type Bitstream, Timeline } from "../../Audio.ts"
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
    { at: start, follows, samples, shift }: Placement & { readonly samples: number },
    audio: Uint8Array
  ): CaptureFailure | undefined {
    const { bitstream } = this.#capture
    const rate = bitstream.sampleRate
    const gap = start - (this.#open?.chunk.appendedEnd ?? start)
    // The chunk would cover other audio that lies in the gap; 1.5 samples allow for rounding.
    if (Math.abs(gap) > Timeline.toleranceSeconds || (follows && gap * rate > 1.5)) this.seal()
    let [done, doneSamples] = [0, 0]
    while (done < audio.length) {
      const rest = done === 0 ? audio : audio.subarray(done)
      if (this.#open !== undefined && this.#isFull(bitstream, this.#open.chunk, rest)) {
        this.seal()
        this.#seconds = this.#host.chunkSeconds
      }
      if (this.#open === undefined) {
        if (conversation.chunkCount >= this.#host.chunksPerConversation) return { _tag: "ConversationFull" }
        if (conversation.usage.chunks >= this.#host.chunksPerUser) return { _tag: "TooManyChunks" }
      }
      const { chunk } = this.#open ?? this.#begin(conversation, start + doneSamples / rate)
      const room = this.#fullSamples(bitstream) - chunk.appendedSamples
      const length = bitstream.bytesOf(rest, room) || bitstream.first(rest)
      chunk.addClockShift(shift)
      // A view costs as much as the copy of a frame.
      const part = length === rest.length ? rest : rest.subarray(0, length)
      const partSamples = part === audio ? samples : bitstream.samples(part)
      this.#buffer.add(chunk, part, partSamples)
      done += length
      doneSamples += partSamples
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
    const { audio, chunkSample, samples } = run
    const { bitstream } = this.#capture
    const { sampleRate } = bitstream
    const known = samples + Math.ceil(marginSeconds * sampleRate)
    return {
      start: chunk.start + chunkSample / sampleRate,
      bitstream,
      samples: known,
      runs: [{ at: 0, samples, audio }]
    }
  }

  #fullSamples({ chunkSamples, sampleRate }: Bitstream.Bitstream): number {
    return Math.min(chunkSamples, Math.max(1, Math.floor(this.#seconds * sampleRate)))
  }

  /** Whether the beginning of `rest` does not fit. */
  #isFull(bitstream: Bitstream.Bitstream, { appended, appendedSamples }: JournalChunk, rest: Uint8Array): boolean {
    const room = this.#fullSamples(bitstream) - appendedSamples
    return room <= 0 || appended >= bitstream.chunkBytes || bitstream.bytesOf(rest, room) === 0
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
