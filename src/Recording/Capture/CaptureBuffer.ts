/** Placed audio of a capture on its way to the journal. */
import type { Batch } from "../Journal/Batch.ts"
import type { JournalChunk } from "../Journal/JournalChunk.ts"

interface Run {
  readonly chunk: JournalChunk
  readonly chunkSample: number
  samples: number
  readonly from: number
  to: number
}

export class CaptureBuffer {
  readonly #limit: number
  /** Bytes that a real-time sender needs. The buffer grows by half of that when it is full, and shrinks back after a commit. */
  readonly #usual: number
  #buffer: Buffer<ArrayBuffer> | undefined
  #used = 0
  #runs: Array<Run> = []

  constructor(limit: number, usual: number) {
    this.#limit = limit
    this.#usual = usual
  }

  get used(): number {
    return this.#used
  }

  get room(): number {
    return this.#limit - this.#used
  }

  get isEmpty(): boolean {
    return this.#runs.length === 0
  }

  /** Appends `samples` samples to the chunk. The caller checks `room`. */
  add(chunk: JournalChunk, audio: Uint8Array, samples: number): void {
    const from = this.#used
    this.#grow(from + audio.length).set(audio, from)
    this.#used += audio.length
    const last = this.#runs.at(-1)
    if (last?.chunk === chunk) {
      last.to = this.#used
      last.samples += samples
    } else this.#runs.push({ chunk, chunkSample: chunk.appendedSamples, samples, from, to: this.#used })
    chunk.appended += audio.length
    chunk.appendedSamples += samples
  }

  /** The last buffered run if it belongs to this chunk. A view, not a copy: valid until the buffer changes. */
  lastOf(chunk: JournalChunk): (Pick<Run, "chunkSample" | "samples"> & { readonly audio: Uint8Array }) | undefined {
    const last = this.#runs.at(-1)
    if (last?.chunk !== chunk || this.#buffer === undefined) return undefined
    const { chunkSample, from, samples, to } = last
    return { chunkSample, samples, audio: this.#buffer.subarray(from, to) }
  }

  /** Moves the runs that fit into the batch; returns whether the buffer is empty. */
  drainInto(batch: Batch): boolean {
    const buffer = this.#buffer
    let added = 0
    for (const run of this.#runs) {
      if (buffer === undefined || !batch.fits(run.to - run.from)) break
      const audio = buffer.subarray(run.from, run.to)
      batch.add(run.chunk, run, audio)
      if (run.chunk.codec === "pcm16") run.chunk.peaks.add(audio)
      added++
    }
    if (added > 0) this.#runs.splice(0, added)
    if (this.#runs.length > 0) return false
    if (buffer !== undefined && buffer.length > this.#usual && this.#used <= this.#usual) this.#free()
    this.#used = 0
    return true
  }

  clear(): void {
    this.#runs = []
    this.#used = 0
    this.#free()
  }

  #grow(bytes: number): Buffer {
    const before = this.#buffer
    if (before !== undefined && before.length >= bytes) return before
    let size = this.#usual
    while (size < bytes) size += Math.ceil(this.#usual / 2)
    const grown = Buffer.allocUnsafeSlow(Math.min(this.#limit, size))
    if (before !== undefined) grown.set(before.subarray(0, this.#used))
    this.#free()
    this.#buffer = grown
    return grown
  }

  /** Detaches the memory. After a late commit, all captures leave their buffers to the garbage collector at once otherwise. */
  #free(): void {
    this.#buffer?.buffer.transfer(0)
    this.#buffer = undefined
  }
}
