/** Where a VOD can be played and downloaded without a key, for an hour. */
import { Clock, Context, Duration, Effect, Layer, Option } from "effect"
import type { DbError } from "../Db.ts"
import { Artifacts, AudioTokens, contentTypes, Playback, wholeId } from "../Playback.ts"
import { PublicUrl } from "../PublicUrl.ts"
import type { Vod } from "./Vod.ts"

/** Of the URLs of this server. Those of the store live as long, from when they are signed. */
const lifetime = Duration.minutes(60)

export interface PlayableFile {
  readonly url: string
  /** Unix seconds. */
  readonly start: number
  /** Seconds. */
  readonly duration: number
}

export interface PlayableVod {
  readonly contentType: string
  /** All of it as one file; none if it has several sample rates, or more than 1,000 files. */
  readonly url: string | undefined
  /** The latest 1,000. */
  readonly files: ReadonlyArray<PlayableFile>
  /** Milliseconds since the Unix epoch. */
  readonly expiresAt: number
}

export class Playable extends Context.Service<
  Playable,
  {
    /** None if the recording is deleted. */
    urls(vod: Vod): Effect.Effect<Option.Option<PlayableVod>, DbError>
  }
>()("spillway/Vods/Playable") {
  static readonly layer = Layer.effect(
    Playable,
    Effect.suspend(() => make)
  ).pipe(Layer.provide(AudioTokens.layer))
}

const make = Effect.gen(function* () {
  const playback = yield* Playback
  const artifacts = yield* Artifacts
  const tokens = yield* AudioTokens
  const publicUrl = yield* PublicUrl

  return Playable.of({
    urls: Effect.fn("Playable.urls")(function* ({ conversation, format, uid }) {
      const expiresAt = (yield* Clock.currentTimeMillis) + Duration.toMillis(lifetime)
      const found = Option.getOrUndefined(yield* playback.conversation(uid, conversation, {}))
      if (found === undefined || found.files.length === 0) return Option.none()
      const merged = yield* artifacts.of(uid, conversation, { format })
      const urlOf = (file: string) => {
        const artifact = merged.get(file)
        if (artifact?.state === "merged" && artifact.url !== undefined) return Effect.succeed(artifact.url)
        return Effect.map(
          tokens.sign({ uid, conversation, file, format }),
          (token) => `${publicUrl.base()}/v1/audio/${token}`
        )
      }
      const files = yield* Effect.forEach(found.files, ({ id, sampleRate, samples, start }) =>
        Effect.map(urlOf(id), (url): PlayableFile => ({ url, start, duration: samples / sampleRate }))
      )
      const isWhole =
        found.filesNext === undefined && new Set(found.files.map(({ sampleRate }) => sampleRate)).size === 1
      const only = files.length === 1 ? files[0]?.url : undefined
      const url = isWhole ? (only ?? (yield* urlOf(wholeId(found)))) : undefined
      return Option.some({ contentType: contentTypes[format], url, files, expiresAt })
    })
  })
})
