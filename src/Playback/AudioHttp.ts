/** `/v1/sync/audio`. */
import { Effect, Layer, Option } from "effect"
import { HttpApiBuilder } from "effect/http-api"
import { callerOf, DbCaller } from "../Db.ts"
import { Problem, ProblemRules, RangeRequest, rule } from "../Http.ts"
import { Authentication } from "../Auth.ts"
import { AudioMissing, AudioUnreadable, Playback, PlaybackConfig, type Rendition } from "../Playback.ts"
import { CodecFailed } from "../Opus.ts"
import { AudioFileChanged } from "../Recording.ts"
import { AudioApi } from "./AudioApi.ts"
import { Follow } from "./Follow/Follow.ts"
import { ListenerSeats } from "./ListenerSeats.ts"
import * as RenditionResponse from "./Rendition/RenditionResponse.ts"

const unreadable = rule(
  AudioUnreadable,
  ({ conversation, end, start }) =>
    new Problem({
      status: 500,
      code: "audio-unreadable",
      title: "Recorded audio can't be read",
      detail: `The audio of ${conversation} from ${RenditionResponse.isoOf(start)} to ${RenditionResponse.isoOf(end)} can't be read. The reason is in the server's log.`
    })
)

const missing = rule(
  AudioMissing,
  ({ conversation, end, start }) =>
    new Problem({
      status: 404,
      code: "audio-missing",
      title: "Recorded audio is missing",
      detail: `The audio of ${conversation} from ${RenditionResponse.isoOf(start)} to ${RenditionResponse.isoOf(end)} is no longer in the object store.`
    })
)

const codecFailed = rule(CodecFailed, () =>
  Problem.unavailable(
    "codec-failed",
    "The audio could not be converted",
    "The thread that converts it failed, and another one is started. Send the request again.",
    1
  )
)

const fileChanged = rule(AudioFileChanged, ({ conversation }) =>
  Problem.unavailable(
    "audio-changed",
    "The audio file changed while it was read",
    `Audio was inserted into ${conversation}. Send the request again.`,
    1
  )
)

const group = HttpApiBuilder.group(
  AudioApi,
  "audio",
  Effect.fn(function* (handlers) {
    const { authenticate } = yield* Authentication
    const playback = yield* Playback
    const follow = yield* Follow
    const problems = yield* ProblemRules
    const seats = yield* ListenerSeats
    const { firstAudio } = yield* PlaybackConfig
    return handlers.handleRaw("play", ({ params: { conversation, file }, query, request }) =>
      Effect.gen(function* () {
        const { follow: followed, format = "wav", from } = query
        const { uid } = yield* authenticate(request, { query: true })
        // The request's scope closes when the response has been sent.
        yield* seats.take(uid)
        return yield* Effect.gen(function* () {
          const { headers, method } = request
          const near = method === "GET" ? RangeRequest.expectedRange(headers["range"]) : undefined
          const isFollowed = followed === "1"
          if (from !== undefined && !isFollowed) return yield* Problem.badRequest("`from` requires `follow=1`.")
          const openFollowed = (format: Exclude<Rendition["format"], "zip">) =>
            format === "ogg"
              ? Problem.badRequest("`follow=1` sends `wav` or `pcm`, not `ogg`.")
              : follow.open({ uid, conversation, id: file }, format, from ?? 0)
          const rendition = isFollowed
            ? yield* openFollowed(format)
            : yield* playback.open(uid, conversation, file, format, near)
          if (Option.isNone(rendition)) return yield* Problem.notFound("There is no such audio file.")
          return yield* RenditionResponse.respond(request, conversation, rendition.value, firstAudio)
        }).pipe(Effect.provideService(DbCaller, callerOf(uid)))
      }).pipe(problems.respond)
    )
  })
)

export const layer = HttpApiBuilder.layer(AudioApi).pipe(
  Layer.provide(group),
  Layer.provide(ListenerSeats.layer),
  Layer.provide(Follow.layer),
  Layer.merge(ProblemRules.layerOf(unreadable, missing, fileChanged, codecFailed))
)
