/** What a capture received and the journal has not: copied once, handed over in runs of one chunk each. Plain code. */
import type { Batch } from "../Journal/Batch.ts"
import type { JournalChunk } from "../Journal/JournalChunk.ts"

interface Run {
  readonly chunk: JournalChunk
  readonly chunkOffset: number
  readonly from: number
  to: number
}

export class CaptureBuffer {
  readonly #limit: number
  /** What real time needs. Whoever sends faster, or waits longer for a commit, gets twice as much, until that is no longer used. */
  readonly #usual: number
  #buffer: Buffer | undefined
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

  /** Appends to the chunk; there must be room. */
  add(chunk: JournalChunk, audio: Uint8Array): void {
    const from = this.#used
    this.#grow(from + audio.length).set(audio, from)
    this.#used += audio.length
    const last = this.#runs.at(-1)
    if (last?.chunk === chunk) last.to = this.#used
    else this.#runs.push({ chunk, chunkOffset: chunk.appended, from, to: this.#used })
    chunk.appended += audio.length
  }

  /** What was added last and waits, if it is of this chunk: a view. */
  lastOf(chunk: JournalChunk): { readonly chunkOffset: number; readonly audio: Uint8Array } | undefined {
    const last = this.#runs.at(-1)
    if (last?.chunk !== chunk || this.#buffer === undefined) return undefined
    return { chunkOffset: last.chunkOffset, audio: this.#buffer.subarray(last.from, last.to) }
  }

  /** Moves what fits into the batch; answers whether nothing is left. */
  drainInto(batch: Batch): boolean {
    const buffer = this.#buffer
    let added = 0
    for (const run of this.#runs) {
      if (buffer === undefined || !batch.fits(run.to - run.from)) break
      const audio = buffer.subarray(run.from, run.to)
      batch.add(run.chunk, run.chunkOffset, audio)
      if (run.chunk.codec === "pcm16") run.chunk.peaks.add(audio)
      added++
    }
    if (added > 0) this.#runs.splice(0, added)
    if (this.#runs.length > 0) return false
    if (buffer !== undefined && buffer.length > this.#usual && this.#used <= this.#usual) this.#buffer = undefined
    this.#used = 0
    return true
  }

  clear(): void {
    this.#runs = []
    this.#used = 0
    this.#buffer = undefined
  }

  #grow(bytes: number): Buffer {
    if (this.#buffer !== undefined && this.#buffer.length >= bytes) return this.#buffer
    let size = this.#usual
    while (size < bytes) size *= 2
    const grown = Buffer.allocUnsafeSlow(Math.min(this.#limit, size))
    if (this.#buffer !== undefined) grown.set(this.#buffer.subarray(0, this.#used))
    this.#buffer = grown
    return grown
  }
}
