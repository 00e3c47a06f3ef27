/** The buffer of one write to the journal; reused for every write. */
import { maxHeadBytes, writeRecord } from "./JournalRecord.ts"
import type { JournalChunk } from "./JournalChunk.ts"

export class Batch {
  readonly #buffer: Buffer
  #used = 0
  readonly runs: Array<{
    readonly chunk: JournalChunk
    readonly position: number
    readonly length: number
    readonly samples: number
  }> = []

  constructor(bytes: number) {
    this.#buffer = Buffer.allocUnsafeSlow(bytes)
  }

  get bytes(): Uint8Array {
    return this.#buffer.subarray(0, this.#used)
  }

  fits(bytes: number): boolean {
    return this.#used + bytes + maxHeadBytes <= this.#buffer.length
  }

  add(
    chunk: JournalChunk,
    { chunkSample, samples }: { readonly chunkSample: number; readonly samples: number },
    audio: Uint8Array
  ): void {
    this.#used = writeRecord(this.#buffer, this.#used, chunk.head, chunkSample, audio)
    this.runs.push({ chunk, position: this.#used - audio.length, length: audio.length, samples })
  }

  clear(): void {
    this.#used = 0
    this.runs.length = 0
  }
}
