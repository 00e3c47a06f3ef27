/** Follows audio files at the pace at which their audio becomes durable. */
import { Effect, Layer, Metric, Option, RcMap, Stream } from "effect"
import { Wav } from "../../Audio.ts"
import { callerOf, DbCaller, type DbError } from "../../Db.ts"
import { Problem } from "../../Http.ts"
import { Playback, PlaybackConfig } from "../../Playback.ts"
import { Readiness } from "../../Readiness.ts"
import { Recording } from "../../Recording.ts"
import * as PieceStream from "../Rendition/PieceStream.ts"
import { Follow, type FollowedRendition } from "./Follow.ts"
import * as FollowedFile from "./FollowedFile.ts"

const followers = Metric.gauge("spillway_followers", { description: "Responses that follow an audio file as it grows" })

const stopping = Problem.unavailable(
  "stopping",
  "The node is stopping",
  "Follow the conversation at the node that its device connects to next.",
  5
)

const firstSample = (from: number, { sampleRate, samples }: FollowedFile.Snapshot): number => {
  const sample = Math.round(from * sampleRate)
  return Math.min(samples, Math.max(0, sample < 0 ? samples + sample : sample))
}

const render = (followed: FollowedFile.FollowedFile, format: Wav.Format, from: number): FollowedRendition => {
  const file = followed.file()
  const first = firstSample(from, file)
  const audio = Stream.unfold(first, (at) =>
    Effect.map(followed.after(at), (part) => (part === undefined ? undefined : ([part.audio, part.to] as const)))
  )
  return {
    file,
    format,
    size: undefined,
    etag: undefined,
    begin: () =>
      Effect.gen(function* () {
        const { next } = yield* PieceStream.begin(Stream.flatten(audio))
        const header = format === "wav" ? [Wav.endlessHeader(file.sampleRate)] : []
        const durable = first < file.samples ? yield* next : undefined
        return { first: [...header, ...(durable ?? [])], next }
      })
  }
}

type Followed = Effect.Success<ReturnType<typeof FollowedFile.make>>
type Files = RcMap.RcMap<FollowedFile.FileName, Followed, FollowedFile.FollowFailure | DbError>

const make = Effect.gen(function* () {
  const recording = yield* Recording
  const playback = yield* Playback
  const config = yield* PlaybackConfig
  const readiness = yield* Readiness
  const stopped = Effect.andThen(readiness.draining, Effect.fail(stopping))
  // A later response opens the file again.
  const onOver = (name: FollowedFile.FileName) => Effect.suspend(() => RcMap.invalidate(files, name))
  /** Bounded by the responses: at most one file for each. */
  const files: Files = yield* RcMap.make({
    lookup: (name: FollowedFile.FileName) =>
      FollowedFile.make({ recording, playback, config, stopped, onOver }, name).pipe(
        Effect.provideService(DbCaller, { ...callerOf(name.uid), isStreaming: true })
      )
  })
  let count = 0
  const add = (by: number) => Effect.suspend(() => Metric.update(followers, (count += by)))

  return Follow.of({
    open: Effect.fnUntraced(function* (name, format, from) {
      const found = yield* RcMap.get(files, name)
      if (Option.isNone(found)) return Option.none()
      yield* Effect.acquireRelease(add(1), () => add(-1))
      return Option.some(render(found.value, format, from))
    })
  })
})

export const layer = Layer.effect(Follow, make)
