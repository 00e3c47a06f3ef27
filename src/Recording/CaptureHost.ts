/** What a capture needs of the node: plain calls, in the socket's own message event. */
import type { Source } from "./Journal.ts"
import type { LiveCapture } from "./LiveCapture.ts"
import type { LiveChunk } from "./LiveChunk.ts"
import type { LiveConversation } from "./LiveConversation.ts"

export interface CaptureHost {
  readonly bufferBytes: number
  /** Seconds of audio that usually wait for a commit. */
  readonly usualSeconds: number
  readonly backlogBytes: number
  readonly chunkSeconds: number
  readonly chunksPerConversation: number
  readonly chunksPerUser: number
  readonly now: () => number
  /** Milliseconds that never go back. */
  readonly monotonic: () => number
  /** Number of the journal's last commit of everybody that has started. */
  readonly commitsStarted: () => number
  readonly newId: () => Uint8Array
  readonly markDirty: (source: Source) => void
  readonly markUrgent: (source: Source) => void
  /** Answers later, through `entered`. */
  readonly enter: (capture: LiveCapture, conversation: string) => void
  readonly leave: (conversation: LiveConversation) => void
  /** A sealed chunk is whole in the journal. */
  readonly sealed: (capture: LiveCapture, chunk: LiveChunk) => void
  /** Nothing of the chunk became durable. */
  readonly abandoned: (chunk: LiveChunk) => void
  /** Some of this audio lay on what is recorded already, and was dropped; `kept` samples were not. */
  readonly overlapped: (
    capture: LiveCapture,
    conversation: string,
    start: number,
    audio: Uint8Array,
    kept: number
  ) => void
}
