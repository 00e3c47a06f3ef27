/** A capture as its socket uses it: options, methods, acknowledgements and failures. */
import type { Span } from "../../Audio.ts"

/** Why a capture ends early. Acknowledged audio is never lost. */
export type CaptureFailure =
  | { readonly _tag: "NotWritten"; readonly cause: Error }
  | { readonly _tag: "BacklogFull" }
  | { readonly _tag: "ConversationFull" }
  /** The user has too many chunks in the journal; uploads reduce them. */
  | { readonly _tag: "TooManyChunks" }
  /** A later capture writes the same conversation. All received audio is written. */
  | { readonly _tag: "Superseded" }
  /** The conversation is deleted, and what was acknowledged with it. */
  | { readonly _tag: "Purged" }

/**
 * Audio up to Unix second `through`, by its timestamps, is fsynced, and up to `stored` in the object store. `bytes` counts all
 * audio of this capture in the conversation, replays included.
 */
export interface Acknowledgement {
  readonly conversation: string
  readonly through: number
  readonly bytes: number
  readonly stored: number | undefined
}

export interface CaptureOptions {
  readonly uid: string
  readonly sampleRate: number
  readonly codec: Span.Codec
  /** What the app says it is. */
  readonly clientKind?: string
  /** Segments of its transcripts that were dropped, for the statistics. */
  readonly droppedSegments?: () => number
  /** Timestamps are exact: gaps over 1 ms are real. Otherwise frames are contiguous unless the timestamp jumps by over 2 s. */
  readonly exact: boolean
  /** Called at most once a second for a conversation, and at the end of each conversation. */
  readonly onAck: (ack: Acknowledgement) => void
  /** There is room again after `append` returned `full`, or after `switchTo`. */
  readonly onRoom: () => void
  readonly onFailure: (failure: CaptureFailure) => void
  /** The node had no room for acknowledged audio from Unix second `start`, as the conversation has it. */
  readonly onLost?: (lost: { readonly conversation: string; readonly start: number; readonly seconds: number }) => void
  /** New audio has timestamps in recorded time and is placed `seconds` later. Called once for each shift. */
  readonly onShift?: (seconds: number) => void
}

/** Both methods are synchronous, for use in the socket's message event. */
export interface Capture {
  /** Copies the audio. `full`: accepted, but pause reading until `onRoom`. `refused`: no conversation is selected. */
  readonly append: (start: number, audio: Uint8Array) => "ok" | "full" | "refused"
  /** Seals the chunk of the previous conversation. Pause reading until `onRoom`. */
  readonly switchTo: (conversation: string) => void
}
