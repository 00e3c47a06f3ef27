/** A conversation that this node records, or still holds audio of in its journal. */
import { Coverage } from "./Coverage.ts"
import { type LiveChunk, uuidText } from "./LiveChunk.ts"

/** All that one user has in the journal. */
export interface Holding {
  chunks: number
}

export class LiveConversation {
  readonly uid: string
  readonly id: string
  readonly coverage: Coverage
  readonly createdAt: Date
  readonly holding: Holding
  readonly #chunks = new Map<string, LiveChunk>()
  captures = 0
  /** How often audio that was covered turned out not to be written: what was dropped because of it must be sent again. */
  retractions = 0
  /** Chunks that were ever opened, in the database or not. */
  chunkCount = 0
  /** What was stored before has been read from the database. */
  loaded = false

  constructor(uid: string, id: string, coverageSpans: number, createdAt: Date, holding: Holding) {
    this.uid = uid
    this.id = id
    this.coverage = new Coverage(coverageSpans)
    this.createdAt = createdAt
    this.holding = holding
  }

  /** In the journal. */
  get chunks(): Iterable<LiveChunk> {
    return this.#chunks.values()
  }

  get isEmpty(): boolean {
    return this.#chunks.size === 0
  }

  chunk(id: string): LiveChunk | undefined {
    return this.#chunks.get(id)
  }

  addChunk(chunk: LiveChunk): void {
    this.#chunks.set(uuidText(chunk.id), chunk)
    this.chunkCount++
    this.holding.chunks++
  }

  removeChunk(chunk: LiveChunk): void {
    if (this.#chunks.delete(uuidText(chunk.id))) this.holding.chunks--
  }
}
