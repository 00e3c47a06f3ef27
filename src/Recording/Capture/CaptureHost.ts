/** What a capture calls on its node: plain functions, called in the socket's message event. */
import type { CommitSource } from "../Journal/Journal.ts"
import type { CaptureWriter } from "./CaptureWriter.ts"
import type { JournalChunk } from "../Journal/JournalChunk.ts"
import type { LiveConversation } from "../Journal/LiveConversation.ts"
import type { Wanted } from "./RecordedAudio.ts"

export interface CaptureHost {
  readonly bufferBytes: number
  /** Seconds of audio buffered in a typical commit interval. */
  readonly usualSeconds: number
  readonly backlogBytes: number
  readonly chunkSeconds: number
  /** Random fraction of `chunkSeconds` for a capture's first full chunk: more than 0, at most 1. */
  readonly firstShare: () => number
  readonly chunksPerConversation: number
  readonly chunksPerUser: number
  readonly now: () => number
  /** Monotonic milliseconds. */
  readonly monotonic: () => number
  readonly newId: (conversation: LiveConversation) => string
  readonly markDirty: (source: CommitSource) => void
  readonly markUrgent: (source: CommitSource) => void
  /** Always calls `entered` later, also after a failure. */
  readonly enter: (capture: CaptureWriter, conversation: string) => void
  readonly leave: (capture: CaptureWriter, conversation: LiveConversation) => void
  /** Reads what is recorded. `recalled` is called later, also after a failure. */
  readonly recall: (capture: CaptureWriter, conversation: LiveConversation, wanted: Wanted) => void
  /** A sealed chunk is completely durable in the journal. */
  readonly sealed: (capture: CaptureWriter, chunk: JournalChunk) => void
  /** The capture failed, and nothing of the chunk is durable. */
  readonly abandoned: (chunk: JournalChunk) => void
  /** A defect in the processing of the capture's audio; the capture ends. */
  readonly died: (capture: CaptureWriter, cause: unknown) => void
  /** `seconds` of audio were a replay and are dropped. */
  readonly replayed: (seconds: number) => void
  /** New audio is placed `seconds` later than its timestamps from here on. */
  readonly shifted: (capture: CaptureWriter, seconds: number) => void
}
