/** What was recorded, as it is listed and heard: audio files over the timeline of chunks, read without merging them. */
import { Context, Effect, Layer, Option, Schema } from "effect"
import type { Wav } from "./Audio.ts"
import type { DbError } from "./Db.ts"
import { PlaybackConfig } from "./Playback/PlaybackConfig.ts"
import * as Rendition from "./Playback/Rendition.ts"
import * as Unreadable from "./Playback/Unreadable.ts"
import { type Waveforms, waveforms } from "./Playback/Waveform.ts"
import { type AudioFileChanged, type Conversation, isReadAsPcm, Recording } from "./Recording.ts"

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

/** Audio files of a conversation in JSON: the latest ones, the rest page by page. */
const filesOfOne = 1_000
/** Audio files in a list, of all its conversations together. */
const filesOfList = 2_000

export interface FilesPage {
  readonly before?: string
}

export class Playback extends Context.Service<
  Playback,
  {
    /** Newest first. `before` is the `next` of the page before. */
    conversations(
      uid: string,
      page: { readonly before?: string; readonly limit: number }
    ): Effect.Effect<
      { readonly conversations: ReadonlyArray<Conversation>; readonly next: string | undefined },
      DbError
    >
    /** None when it does not exist or is somebody else's. `before` is the `filesNext` of the page before. */
    conversation(uid: string, id: string, page: FilesPage): Effect.Effect<Option.Option<Conversation>, DbError>
    /** Of a page of its audio files, by start, with about `points` points together. None when it does not exist or is somebody else's. */
    waveform(
      uid: string,
      id: string,
      page: FilesPage & { readonly points: number }
    ): Effect.Effect<Option.Option<Waveforms>, DbError>
    /** All that is durable of the audio file now; none when there is no such file, or it is somebody else's. */
    open(
      uid: string,
      conversation: string,
      file: string,
      format: Wav.Format
    ): Effect.Effect<Option.Option<Rendition.Rendition>, AudioFileChanged | NotPlayable | DbError>
  }
>()("spillway/Playback") {
  static readonly layer = Layer.effect(
    Playback,
    Effect.gen(function* () {
      const recording = yield* Recording
      const config = yield* PlaybackConfig
      const read = Unreadable.remembering(recording.read, config)

      return Playback.of({
        conversation: (uid, id, page) => recording.conversation(uid, id, { ...page, files: filesOfOne }),
        conversations: (uid, page) => {
          const files = Math.max(1, Math.floor(filesOfList / page.limit))
          return recording.conversations(uid, { ...page, files: Math.min(files, filesOfOne) })
        },
        waveform: Effect.fn("Playback.waveform")(function* (uid, id, { points, ...page }) {
          const found = yield* recording.waveform(uid, id, { ...page, files: filesOfOne })
          if (Option.isNone(found)) return Option.none()
          return Option.some(yield* waveforms(found.value, points))
        }),
        open: Effect.fn("Playback.open")(function* (uid, id, fileId, format) {
          const found = yield* recording.file(uid, id, fileId)
          if (Option.isNone(found)) return Option.none()
          const file = found.value
          const { codec } = file
          // Of Opus the first chunk tells whether it is decoded here: one that is live is not.
          const { pieces } = codec === "pcm16" ? { pieces: [] } : yield* file.pieces(0, 1)
          if (!pieces.every(({ chunk }) => isReadAsPcm(chunk)))
            return yield* new NotPlayable({ conversation: id, file: fileId, codec, format })
          return Option.some(Rendition.make(read, file, format))
        })
      })
    })
  )
}
