/** One live socket session, as the socket sees it. */
import type { Span } from "../../Audio.ts"

/** Why a capture can't go on. Nothing acknowledged is lost by it. */
export type CaptureFailure =
  | { readonly _tag: "NotWritten"; readonly cause: Error }
  | { readonly _tag: "BacklogFull" }
  | { readonly _tag: "ConversationFull" }
  /** Of this user, in the journal: until the store has taken some. */
  | { readonly _tag: "TooManyChunks" }
  /** A later capture feeds the same conversation; all that was received is written. */
  | { readonly _tag: "Superseded" }

/** Audio up to unix second `through`, by its stamps, is fsynced. `bytes`: all audio of this capture and conversation so far, replays included. */
export interface Acknowledgement {
  readonly conversation: string
  readonly through: number
  readonly bytes: number
}

export interface CaptureOptions {
  readonly uid: string
  readonly sampleRate: number
  readonly codec: Span.Codec
  /** Spans are exact: gaps of more than 1 ms are real. Else frames are appended as they come, up to a jump of 2 s. */
  readonly exact: boolean
  /** At most one a second, and one for the end of each conversation. */
  readonly onAck: (ack: Acknowledgement) => void
  /** There is room again after `append` answered `full`, or after `switchTo`. */
  readonly onRoom: () => void
  readonly onFailure: (failure: CaptureFailure) => void
  /** Audio that is new lies `seconds` later than its stamps, which lie in recorded time. Once for each shift. */
  readonly onShift?: (seconds: number) => void
}

/** Both are synchronous and are called in the socket's own message event. */
export interface Capture {
  /** Copies. `full`: accepted, but read no more until `onRoom`. `refused`: no conversation was chosen yet. */
  readonly append: (start: number, audio: Uint8Array) => "ok" | "full" | "refused"
  /** Seals the chunk of the previous conversation. Read no more until `onRoom`. */
  readonly switchTo: (conversation: string) => void
}
