/** Conversations and their audio: from the first acknowledged sample to the object in the store. */
import { Context, Schema } from "effect"
import type { Effect, Option, Scope, Stream } from "effect"
import type { Span } from "./Audio.ts"
import type { DbError } from "./Db.ts"
import type { StorageUnavailable } from "./Storage.ts"

/** uid, conversation, job and person ids: 1–128 characters, safe in object names and URLs. */
export const Id = Schema.String.check(
  Schema.makeFilter((id) => /^[A-Za-z0-9._-]{1,128}$/.test(id) && id !== "." && id !== "..", {
    expected: "1 to 128 characters of A-Z a-z 0-9 . _ -, not . or .."
  })
)

/** A chunk's bytes can't be had: corrupt, or gone from both the journal and the store. */
export class ChunkUnreadable extends Schema.TaggedError<ChunkUnreadable>()("ChunkUnreadable", {
  uid: Schema.String,
  conversation: Schema.String,
  key: Schema.String,
  cause: Schema.Defect()
}) {}

/** Ingest can't take a new capture now: `reason` is `captures` (node is full), `user` (too many of this user) or `draining`. */
export class CaptureRefused extends Schema.TaggedError<CaptureRefused>()("CaptureRefused", {
  reason: Schema.Literals(["captures", "user", "draining"])
}) {}

/** Where a chunk's audio is now. A lost chunk has a span and no audio (silence in playback). */
export type ChunkState = "open" | "sealed" | "stored" | "lost"

/** Up to 60 s of contiguous audio. `samples` counts what is durable. */
export interface Chunk extends Span.Span {
  readonly id: string
  readonly uid: string
  readonly conversation: string
  readonly codec: Span.Codec
  readonly state: ChunkState
  /** The object's key, also before it is stored. */
  readonly key: string
}

export interface Conversation {
  readonly uid: string
  readonly id: string
  readonly createdAt: Date
  readonly finishedAt: Option.Option<Date>
  /** A capture feeds it now, on this node. */
  readonly live: boolean
  /** By start, at most the configured number of chunks. */
  readonly chunks: ReadonlyArray<Chunk>
}

export interface CaptureOptions {
  readonly uid: string
  readonly sampleRate: number
  readonly codec: Span.Codec
  /** `audio_timeline=2`: spans are exact, gaps of more than 1 ms are real. */
  readonly exact: boolean
  /** Called after the fsync that made audio up to unix second `through` durable; `bytes` in all of this capture and conversation. */
  readonly onAck: (ack: { readonly conversation: string; readonly through: number; readonly bytes: number }) => void
  /** Called when the buffer has room again after `append` answered `full`. */
  readonly onRoom: () => void
  /** Called when the capture can't go on (its audio could not be written); nothing unacknowledged is kept. */
  readonly onFailure: (cause: unknown) => void
}

/** One live socket session. `append` is synchronous and copies: it is called in the socket's own message event. */
export interface Capture {
  /** `full`: accepted, but read no more until `onRoom`. `refused`: no conversation was chosen yet. */
  readonly append: (start: number, audio: Uint8Array) => "ok" | "full" | "refused"
  /** Seals the chunk of the previous conversation; audio appended after it returns belongs to the new one. */
  readonly switchTo: (conversation: string) => Effect.Effect<void>
}

export class Recording extends Context.Service<
  Recording,
  {
    /** The capture ends with the scope: its chunk is sealed and what was appended is made durable. */
    open(options: CaptureOptions): Effect.Effect<Capture, CaptureRefused, Scope.Scope>
    /** Newest first. `before` is the `next` of the page before. */
    conversations(
      uid: string,
      page: { readonly before?: string; readonly limit: number }
    ): Effect.Effect<
      { readonly conversations: ReadonlyArray<Conversation>; readonly next: string | undefined },
      DbError
    >
    /** None when it does not exist or is somebody else's. */
    conversation(uid: string, id: string): Effect.Effect<Option.Option<Conversation>, DbError>
    /** Bytes `start` to `end` (not included) of a chunk's audio, from the journal while it is there, else from the store. */
    read(
      chunk: Chunk,
      range: { readonly start: number; readonly end: number }
    ): Stream.Stream<Uint8Array, ChunkUnreadable | StorageUnavailable>
  }
>()("spillway/Recording") {}
