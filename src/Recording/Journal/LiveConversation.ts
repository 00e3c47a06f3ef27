/** A conversation that this node records, or still holds audio of in its journal. */
import { type JournalChunk, uuidText } from "./JournalChunk.ts"

/** All that one user has in the journal. */
export interface Holding {
  chunks: number
}

/** Whoever appends to a conversation. */
export interface Feeder {
  /** Ends it: another one appends from now on. `done` is called when all that it received is written or given up. */
  readonly supersede: (done: () => void) => void
}

export class LiveConversation {
  readonly uid: string
  readonly id: string
  readonly createdAt: Date
  readonly holding: Holding
  readonly #chunks = new Map<string, JournalChunk>()
  captures = 0
  /** The last one that entered, as long as it has not left. */
  feeder: Feeder | undefined
  /** Unix second at which the audio ends that is recorded, or waits for the journal. */
  end = -Infinity
  /** By how much the audio at the end lies later than its stamps. */
  clockShift = 0
  /** The end of what the journal has let go of. */
  #storedEnd = -Infinity
  /** Chunks that were ever opened, in the database or not. */
  chunkCount = 0
  /** What was stored before has been read from the database. */
  loaded = false

  constructor(uid: string, id: string, createdAt: Date, holding: Holding) {
    this.uid = uid
    this.id = id
    this.createdAt = createdAt
    this.holding = holding
  }

  /** In the journal. */
  get chunks(): Iterable<JournalChunk> {
    return this.#chunks.values()
  }

  get isEmpty(): boolean {
    return this.#chunks.size === 0
  }

  chunk(id: string): JournalChunk | undefined {
    return this.#chunks.get(id)
  }

  addChunk(chunk: JournalChunk): void {
    this.#chunks.set(uuidText(chunk.id), chunk)
    this.chunkCount++
    this.holding.chunks++
    if (chunk.appended === 0 || chunk.appendedEnd <= this.end) return
    this.end = chunk.appendedEnd
    this.clockShift = chunk.clockShift
  }

  removeChunk(chunk: JournalChunk): void {
    if (!this.#chunks.delete(uuidText(chunk.id))) return
    this.holding.chunks--
    if (chunk.durable > 0) this.#storedEnd = Math.max(this.#storedEnd, chunk.durableEnd)
  }

  /** What is stored of it: so many chunks, the unix second at which they end, and the clock shift of the last. */
  load(chunks: number, end: number, clockShift: number): void {
    this.chunkCount = Math.max(this.chunkCount, chunks + this.#chunks.size)
    this.#storedEnd = Math.max(this.#storedEnd, end)
    this.loaded = true
    if (end <= this.end) return
    this.end = end
    this.clockShift = clockShift
  }

  /** Audio at its end was not written after all. */
  retract(): void {
    let end = this.#storedEnd
    for (const chunk of this.#chunks.values()) if (chunk.appended > 0) end = Math.max(end, chunk.appendedEnd)
    this.end = end
  }
}
