/** What a capture needs of the node: plain calls, in the socket's own message event. */
import type { Source } from "../Journal/Journal.ts"
import type { CaptureWriter } from "./CaptureWriter.ts"
import type { JournalChunk } from "../Journal/JournalChunk.ts"
import type { LiveConversation } from "../Journal/LiveConversation.ts"

export interface CaptureHost {
  readonly bufferBytes: number
  /** Seconds of audio that usually wait for a commit. */
  readonly usualSeconds: number
  readonly backlogBytes: number
  readonly chunkSeconds: number
  /** The part of `chunkSeconds` that a capture's first full chunk has: random, more than 0, at most 1. */
  readonly firstShare: () => number
  readonly chunksPerConversation: number
  readonly chunksPerUser: number
  readonly now: () => number
  /** Milliseconds that never go back. */
  readonly monotonic: () => number
  readonly newId: () => Uint8Array
  readonly markDirty: (source: Source) => void
  readonly markUrgent: (source: Source) => void
  /** Answers later, through `entered`, whatever happens. */
  readonly enter: (capture: CaptureWriter, conversation: string) => void
  readonly leave: (capture: CaptureWriter, conversation: LiveConversation) => void
  /**
   * Answers later, through `recalled`, whatever happens: what is recorded from unix second `at` on. `audio`, if given, is
   * looked for elsewhere when other audio is recorded there.
   */
  readonly recall: (
    capture: CaptureWriter,
    conversation: LiveConversation,
    at: number,
    audio: Uint8Array | undefined
  ) => void
  /** A sealed chunk is whole in the journal. */
  readonly sealed: (capture: CaptureWriter, chunk: JournalChunk) => void
  /** Nothing of the chunk became durable. */
  readonly abandoned: (chunk: JournalChunk) => void
  /** It met a defect, and ends. */
  readonly died: (capture: CaptureWriter, cause: unknown) => void
  /** So many seconds were a replay. */
  readonly replayed: (seconds: number) => void
  /** New audio lies so many seconds later than its stamps from now on. */
  readonly shifted: (capture: CaptureWriter, seconds: number) => void
}
