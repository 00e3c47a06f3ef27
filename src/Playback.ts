/** What was recorded, as it is listed and heard: audio files over the timeline of chunks, read without merging them. */
import { Context, Duration, Effect, Layer, Option, Schema } from "effect"
import { fileId, Timeline, type Wav } from "./Audio.ts"
import type { DbError } from "./Db.ts"
import { PlaybackConfig } from "./Playback/PlaybackConfig.ts"
import * as Rendition from "./Playback/Rendition.ts"
import * as Unreadable from "./Playback/Unreadable.ts"
import { type Waveform, waveforms } from "./Playback/Waveform.ts"
import { type Chunk, type Conversation, isReadAsPcm, type Listed, Recording } from "./Recording.ts"

export { AudioMissing, AudioUnreadable } from "./Playback/AudioUnreadable.ts"
export { PlaybackConfig } from "./Playback/PlaybackConfig.ts"
export type { Rendition } from "./Playback/Rendition.ts"

/** The audio file holds Opus that is not decoded here. */
export class NotPlayable extends Schema.TaggedError<NotPlayable>()("NotPlayable", {
  conversation: Schema.String,
  file: Schema.String,
  codec: Schema.String,
  format: Schema.String
}) {}

export interface AudioFileHead extends Timeline.Summary {
  /** Stays the same while the file grows. */
  readonly id: string
}

export interface AudioFile extends AudioFileHead, Timeline.AudioFile<Chunk> {}

/** What is told of a conversation in a list. */
export interface RecordedHead {
  readonly conversation: Omit<Conversation, "chunks">
  /** By start. */
  readonly files: ReadonlyArray<AudioFileHead>
}

export interface Recorded {
  readonly conversation: Conversation
  /** By start. */
  readonly files: ReadonlyArray<AudioFile>
}

const named = <F extends Timeline.Summary>({ id, uid }: Pick<Listed, "id" | "uid">, files: ReadonlyArray<F>) =>
  files.map((file) => ({ ...file, id: fileId(uid, id, file) }))

export class Playback extends Context.Service<
  Playback,
  {
    /** Newest first. `before` is the `next` of the page before. */
    conversations(
      uid: string,
      page: { readonly before?: string; readonly limit: number }
    ): Effect.Effect<
      { readonly conversations: ReadonlyArray<RecordedHead>; readonly next: string | undefined },
      DbError
    >
    /** None when it does not exist or is somebody else's. */
    conversation(uid: string, id: string): Effect.Effect<Option.Option<Recorded>, DbError>
    /** Of its audio files, by start, with about `points` points together. None when it does not exist or is somebody else's. */
    waveform(
      uid: string,
      id: string,
      points: number
    ): Effect.Effect<Option.Option<{ readonly live: boolean; readonly files: ReadonlyArray<Waveform> }>, DbError>
    /** All that is durable of the audio file now; none when there is no such file, or it is somebody else's. */
    open(
      uid: string,
      conversation: string,
      file: string,
      format: Wav.Format
    ): Effect.Effect<Option.Option<Rendition.Rendition>, NotPlayable | DbError>
  }
>()("spillway/Playback") {
  static readonly layer = Layer.effect(
    Playback,
    Effect.gen(function* () {
      const recording = yield* Recording
      const config = yield* PlaybackConfig
      const gapSeconds = Duration.toSeconds(config.audioFileGap)
      const read = Unreadable.remembering(recording.read, config)

      const recorded = (conversation: Conversation): Recorded => ({
        conversation,
        files: named(conversation, Timeline.layout(conversation.chunks, gapSeconds))
      })

      const conversation = Effect.fn("Playback.conversation")(function* (uid: string, id: string) {
        return Option.map(yield* recording.conversation(uid, id), recorded)
      })

      return Playback.of({
        conversation,
        conversations: Effect.fn("Playback.conversations")(function* (uid, page) {
          const { conversations, next } = yield* recording.conversations(uid, { ...page, gapSeconds })
          return {
            conversations: conversations.map(({ files, ...conversation }) => ({
              conversation,
              files: named(conversation, files)
            })),
            next
          }
        }),
        waveform: Effect.fn("Playback.waveform")(function* (uid, id, points) {
          const found = yield* conversation(uid, id)
          if (Option.isNone(found)) return Option.none()
          const files = yield* waveforms(found.value, points, (detail) => recording.peaks(uid, id, detail))
          return Option.some({ live: found.value.conversation.live, files })
        }),
        open: Effect.fn("Playback.open")(function* (uid, id, fileId, format) {
          const files = Option.match(yield* conversation(uid, id), { onNone: () => [], onSome: ({ files }) => files })
          const file = files.find((file) => file.id === fileId)
          if (file === undefined) return Option.none()
          const { codec } = file
          if (!file.pieces.every(({ chunk }) => isReadAsPcm(chunk)))
            return yield* new NotPlayable({ conversation: id, file: fileId, codec, format })
          return Option.some(Rendition.make(read, file, format))
        })
      })
    })
  )
}
