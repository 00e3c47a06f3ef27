/** The URLs at which the audio of a conversation can be played without a key, for an hour. */
import { Context, Effect, Layer, Option } from "effect"
import type { DbError } from "../../Db.ts"
import { Playback, wholeId } from "../../Playback.ts"
import { PublicUrl } from "../../PublicUrl.ts"
import type { AudioFileHead, Conversation } from "../../Recording.ts"
import { type Artifact, Artifacts, type Reason } from "./Artifacts.ts"
import { AudioTokens, type Claim } from "./AudioTokens.ts"

/** The path of this server's URLs; the rest is the token. */
export const path = "/v1/audio/"

/** Why no audio can be heard: a chunk is missing or damaged, or all audio was lost. */
type Inaudible = Exclude<Reason, "merge_failed">

type Access = { readonly url: string } | { readonly reason: Inaudible }

export interface ConversationUrls {
  readonly files: ReadonlyArray<{
    readonly file: AudioFileHead
    readonly access: Access
    /** In the format, as WAV for PCM; none if it is not merged. */
    readonly artifact: Artifact | undefined
  }>
  /** The conversation as one file, of all of `files`. */
  readonly whole: Access | undefined
  readonly filesNext: string | undefined
}

export class AudioUrls extends Context.Service<
  AudioUrls,
  {
    /** None if the user has no such conversation. `before` is a `filesNext`. */
    list(
      uid: string,
      conversation: string,
      page: { readonly before?: string; readonly format: Claim["format"] }
    ): Effect.Effect<Option.Option<ConversationUrls>, DbError>
  }
>()("spillway/Playback/Urls/AudioUrls") {
  static readonly layerNoDeps = Layer.effect(
    AudioUrls,
    Effect.suspend(() => make)
  )
  static readonly layer = this.layerNoDeps.pipe(Layer.provide(AudioTokens.layer))
}

/** Whether `files` are all audio files of the conversation and can be joined. */
const isWhole = ({ files, filesNext }: Conversation, before: string | undefined): boolean =>
  before === undefined && filesNext === undefined && new Set(files.map(({ sampleRate }) => sampleRate)).size === 1

type Kind = Pick<AudioFileHead, "codec" | "sampleRate">
const kindOf = ({ codec, sampleRate }: Kind): string => `${codec} ${sampleRate}`

/** Whether any of the chunks begins in an audio file. */
const unreadableIn = (chunks: ReadonlyArray<Kind & Pick<AudioFileHead, "start">>) => {
  const starts = new Map<string, Array<number>>()
  for (const chunk of chunks.toSorted((a, b) => a.start - b.start)) {
    const known = starts.get(kindOf(chunk)) ?? []
    known.push(chunk.start)
    starts.set(kindOf(chunk), known)
  }
  return (file: AudioFileHead): boolean => {
    const known = starts.get(kindOf(file)) ?? []
    let [low, high] = [0, known.length]
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((known[middle] ?? Infinity) < file.start) low = middle + 1
      else high = middle
    }
    return (known[low] ?? Infinity) < file.start + file.samples / file.sampleRate
  }
}

const make = Effect.gen(function* () {
  const playback = yield* Playback
  const publicUrl = yield* PublicUrl
  const tokens = yield* AudioTokens
  const artifacts = yield* Artifacts

  /** The URL of what can be heard. */
  const urlOf = (claim: Claim): Effect.Effect<string, DbError> =>
    Effect.map(tokens.sign(claim), (token) => `${publicUrl.base()}${path}${token}`)

  return AudioUrls.of({
    list: Effect.fn("AudioUrls.list")(function* (uid, id, { format, ...page }) {
      const found = yield* playback.conversation(uid, id, page)
      if (Option.isNone(found)) return Option.none()
      const conversation = found.value
      const { files, filesNext } = conversation
      const isUnreadable = unreadableIn(yield* playback.unreadable(uid, id))
      const reasonOf = (parts: ReadonlyArray<AudioFileHead>): Inaudible | undefined =>
        parts.some(isUnreadable)
          ? "chunks_missing"
          : parts.every(({ capturedSamples }) => capturedSamples === 0)
            ? "empty_audio"
            : undefined
      const accessOf = (file: string, parts: ReadonlyArray<AudioFileHead>): Effect.Effect<Access, DbError> => {
        const reason = reasonOf(parts)
        if (reason !== undefined) return Effect.succeed({ reason })
        return Effect.map(urlOf({ uid, conversation: id, file, format }), (url) => ({ url }))
      }
      const whole = isWhole(conversation, page.before) ? yield* accessOf(wholeId(conversation), files) : undefined
      const merged = yield* artifacts.of(uid, id, { ...page, format: format === "ogg" ? "ogg" : "wav" })
      const listed = yield* Effect.forEach(
        files,
        Effect.fnUntraced(function* (file) {
          const artifact = merged.get(file.id)
          const stored = format !== "pcm" && artifact?.state === "merged" ? artifact.url : undefined
          const access = stored === undefined ? yield* accessOf(file.id, [file]) : { url: stored }
          return { file, access, artifact }
        })
      )
      return Option.some({ files: listed, whole, filesNext })
    })
  })
})
