/** A conversation that this node records, or still holds audio of in its journal. */
import { Coverage } from "./Coverage.ts"
import type { LiveChunk } from "./LiveChunk.ts"

export class LiveConversation {
  readonly uid: string
  readonly id: string
  readonly coverage: Coverage
  /** In the journal. */
  readonly chunks = new Set<LiveChunk>()
  readonly createdAt: Date
  captures = 0
  /** How often audio that was covered turned out not to be written: what was dropped because of it must be sent again. */
  retractions = 0
  /** Chunks that were ever opened, in the database or not. */
  chunkCount = 0
  /** What was stored before has been read from the database. */
  loaded = false

  constructor(uid: string, id: string, coverageSpans: number, createdAt: Date) {
    this.uid = uid
    this.id = id
    this.coverage = new Coverage(coverageSpans)
    this.createdAt = createdAt
  }

  addChunk(chunk: LiveChunk): void {
    this.chunks.add(chunk)
    this.chunkCount++
  }
}
