/** Conversations and their audio files, for listing and playback. Audio is read from the chunks without merging them. */
import { Context, Effect, Layer, Option } from "effect"
import { Wav } from "./Audio.ts"
import { BoundedMap } from "./BoundedMap.ts"
import type { DbError } from "./Db.ts"
import { rejectDamaged } from "./Playback/Rendition/AudioUnreadable.ts"
import * as Concatenation from "./Playback/Rendition/Concatenation.ts"
import { Opus } from "./Opus.ts"
import { PlaybackConfig } from "./Playback/PlaybackConfig.ts"
import * as OggRendition from "./Playback/Rendition/OggRendition.ts"
import * as Rendition from "./Playback/Rendition/Rendition.ts"
import { type Waveforms, waveforms } from "./Playback/Waveform/Waveform.ts"
import { type Chunk, type Conversation, filesBefore, type RecordedFile, Recording } from "./Recording.ts"

export { type Artifact, Artifacts, type ArtifactsPage, Reason } from "./Playback/Urls/Artifacts.ts"
export { AudioTokens } from "./Playback/Urls/AudioTokens.ts"
export { AudioMissing, AudioUnreadable } from "./Playback/Rendition/AudioUnreadable.ts"
export { ListenerSeats } from "./Playback/ListenerSeats.ts"
export { PlaybackConfig } from "./Playback/PlaybackConfig.ts"
export { Follow } from "./Playback/Follow/Follow.ts"
export { contentTypes, etagOf } from "./Playback/Rendition/Rendition.ts"
export type { Pieces } from "./Playback/Rendition/PieceStream.ts"
export type { Rendition, RenditionFailure } from "./Playback/Rendition/Rendition.ts"

/** The id of the conversation as one file. A conversation that is recorded anew after its deletion has another one. */
export function wholeId({ createdAt }: Pick<Conversation, "createdAt">): string {
  return `conversation-${createdAt.getTime()}`
}

/** Ids of audio files are UUIDs. */
export function isWholeId(file: string): boolean {
  return file.startsWith("conversation-")
}

/** Audio files in a response about one conversation; the rest are on further pages. */
const maxFilesOfOne = 1_000
/** Audio files in a list of conversations, in total. */
const maxFilesOfList = 2_000

export interface FilesPage {
  readonly before?: string
}

export class Playback extends Context.Service<
  Playback,
  {
    /** Newest first. `before` is the `next` of the previous page. */
    conversations(
      uid: string,
      page: { readonly before?: string; readonly limit: number }
    ): Effect.Effect<
      { readonly conversations: ReadonlyArray<Conversation>; readonly next: string | undefined },
      DbError
    >
    /** None if the user has no such conversation. `before` is the `filesNext` of the previous page. */
    conversation(uid: string, id: string, page: FilesPage): Effect.Effect<Option.Option<Conversation>, DbError>
    /** Waveforms of a page of audio files, with about `points` points in total. None if the user has no such conversation. */
    waveform(
      uid: string,
      id: string,
      page: FilesPage & { readonly points: number }
    ): Effect.Effect<Option.Option<Waveforms>, DbError>
    /** Chunks of a conversation that listeners on this node lately found missing or damaged. */
    unreadable(uid: string, conversation: string): Effect.Effect<ReadonlyArray<Chunk>>
    /** The durable audio of the file at this moment. None if the user has no such file. `near`: the range expected next. */
    open(
      uid: string,
      conversation: string,
      file: string,
      format: Rendition.Format,
      near?: Wav.Range
    ): Effect.Effect<Option.Option<Rendition.Rendition>, DbError>
    /**
     * All audio files of a conversation, one after another, as one. None if the user has no such conversation, or it has no
     * audio, files of several sample rates, or more than 1,000 files.
     */
    openWhole(
      uid: string,
      conversation: string,
      format: Rendition.Format
    ): Effect.Effect<Option.Option<Rendition.Rendition>, DbError>
    /**
     * The audio of several times, given in order as Unix seconds, one after another. It is of one sample rate, that of the first
     * time with audio, and of the latest 1,000 audio files that begin before the end. None if there is no audio.
     */
    excerpt(
      uid: string,
      conversation: string,
      times: ReadonlyArray<{ readonly from: number; readonly to: number }>,
      format: Wav.Format
    ): Effect.Effect<Option.Option<Rendition.Rendition>, DbError>
    /** A file that is open. */
    readonly render: (uid: string, file: RecordedFile, format: Rendition.Format) => Rendition.Rendition
  }
>()("spillway/Playback") {
  static readonly layerNoDeps = Layer.effect(
    Playback,
    Effect.gen(function* () {
      const recording = yield* Recording
      const config = yield* PlaybackConfig
      const audio = rejectDamaged(recording, config)
      const opus = yield* Opus
      const blocks: OggRendition.EncodedBlocks = new BoundedMap(OggRendition.maxEncodedBlocks)

      const render = (uid: string, file: RecordedFile, format: Rendition.Format): Rendition.Rendition => {
        if (format !== "ogg") return Rendition.make(audio, file, format)
        const etag = Rendition.etagOf(file, format)
        return file.codec === "opus"
          ? OggRendition.recorded(audio, file, etag)
          : OggRendition.encoded({ uid, opus, blocks }, Rendition.make(audio, file, "pcm"), etag)
      }

      return Playback.of({
        conversation: (uid, id, page) => recording.conversation(uid, id, { ...page, files: maxFilesOfOne }),
        conversations: (uid, page) => {
          const files = Math.max(1, Math.floor(maxFilesOfList / page.limit))
          return recording.conversations(uid, { ...page, files: Math.min(files, maxFilesOfOne) })
        },
        waveform: Effect.fn("Playback.waveform")(function* (uid, id, { points, ...page }) {
          const found = yield* recording.waveform(uid, id, { ...page, files: maxFilesOfOne })
          if (Option.isNone(found)) return Option.none()
          return Option.some(yield* waveforms(found.value, points))
        }),
        unreadable: audio.unreadable,
        open: Effect.fnUntracedEager(function* (uid, id, fileId, format, near) {
          const isUnplaced = near === undefined || (format === "ogg" && near.end > 0)
          const samples = isUnplaced ? undefined : Wav.samplesAround(near)
          return Option.map(yield* recording.file(uid, id, fileId, samples), (file) => render(uid, file, format))
        }),
        openWhole: Effect.fnUntraced(function* (uid, id, format) {
          const found = Option.getOrUndefined(yield* recording.files(uid, id, { files: maxFilesOfOne }))
          if (found === undefined || found.filesNext !== undefined) return Option.none()
          const whole = Concatenation.concatenate(
            wholeId(found),
            found.files.map((file) => ({ file, from: 0, to: file.samples }))
          )
          if (whole === undefined) return Option.none()
          return Option.some(render(uid, whole, format))
        }),
        excerpt: Effect.fn("Playback.excerpt")(function* (uid, id, times, format) {
          const before = filesBefore(times.at(-1)?.to ?? 0)
          const found = Option.getOrUndefined(yield* recording.files(uid, id, { before, files: maxFilesOfOne }))
          const parts = times.flatMap(({ from, to }) =>
            (found?.files ?? []).flatMap((file): ReadonlyArray<Concatenation.Part> => {
              const part = { file, from: Concatenation.sampleAt(file, from), to: Concatenation.sampleAt(file, to) }
              return part.from < part.to ? [part] : []
            })
          )
          const sampleRate = parts[0]?.file.sampleRate
          const whole = Concatenation.concatenate(
            "excerpt",
            parts.filter(({ file }) => file.sampleRate === sampleRate)
          )
          return Option.map(Option.fromUndefinedOr(whole), (file) => Rendition.make(audio, file, format))
        }),
        render
      })
    })
  )
  static readonly layer = this.layerNoDeps.pipe(Layer.provide(Opus.layer))
}
