/** `/v1/sync/audio`. */
import { Effect, Layer, Option } from "effect"
import { callerOf, DbCaller } from "../Db.ts"
import { Problem, ProblemRules, RawRoute, rule, Shortcuts } from "../Http.ts"
import { Authentication } from "../Auth.ts"
import { AudioMissing, AudioUnreadable, Playback } from "../Playback.ts"
import { CodecFailed } from "../Opus.ts"
import { AudioFileChanged } from "../Recording.ts"
import { AudioApi, type Format } from "./AudioApi.ts"
import { Follow } from "./Follow/Follow.ts"
import * as Following from "./Follow/Following.ts"
import { FirstAudio } from "./FirstAudio.ts"
import { ListenerSeats } from "./ListenerSeats.ts"
import { ShortRanges } from "./ShortRanges.ts"
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

type Request = RawRoute.PartsOf<typeof AudioApi.play>

const route = RawRoute.layer(
  AudioApi.play,
  Effect.gen(function* () {
    const { authenticate } = yield* Authentication
    const playback = yield* Playback
    const follow = yield* Follow
    const seats = yield* ListenerSeats
    const firstAudio = yield* FirstAudio

    const openFollowed = (name: Parameters<typeof follow.open>[0], format: typeof Format.Type, from = 0) =>
      format === "ogg"
        ? Problem.badRequest("`follow=1` sends `wav` or `pcm`, not `ogg`.")
        : follow.open(name, format, from)

    const send = Effect.fnUntracedEager(function* ({ params, query, request }: Request, uid: string) {
      const { conversation, file } = params
      const { follow: followed, format = "wav", from } = query
      const isFollowed = followed === "1"
      if (from !== undefined && !isFollowed) return yield* Problem.badRequest("`from` requires `follow=1`.")
      const rendition = isFollowed
        ? yield* openFollowed({ uid, conversation, id: file }, format, from)
        : yield* playback.open(uid, conversation, file, format, RenditionResponse.expectedRange(request))
      if (Option.isNone(rendition)) return yield* Problem.notFound("There is no such audio file.")
      return yield* RenditionResponse.respond(request, conversation, rendition.value, firstAudio)
    })

    return Effect.fnUntracedEager(function* (parts: Request) {
      const { uid } = yield* authenticate(parts.request, { query: true })
      // The request's scope closes when the response has been sent.
      yield* seats.take(uid)
      return yield* Effect.provideService(
        Effect.suspend(() => send(parts, uid)),
        DbCaller,
        callerOf(uid)
      )
    })
  })
)

/** Ids need no decoding. */
const path = /^\/v1\/sync\/audio\/([\w.-]{1,128})\/([\w.-]+)$/

const shortcut = Layer.effectDiscard(
  Effect.gen(function* () {
    const { cached } = yield* Authentication
    const { answer } = yield* ShortRanges
    yield* (yield* Shortcuts).add((request, response, decline) => {
      const [, conversation, file] = path.exec(request.url ?? "") ?? []
      if (conversation === undefined || file === undefined) return false
      const principal = cached(request.headers.authorization, request.socket)
      if (Option.isNone(principal)) return false
      return answer(request, response, { uid: principal.value.uid, conversation, file, format: "wav" }, decline)
    })
  })
)

export const layer = Layer.merge(route, shortcut).pipe(
  Layer.provide(ShortRanges.layer),
  Layer.provide([ListenerSeats.layer, FirstAudio.layer]),
  Layer.provide(Following.layer),
  Layer.merge(ProblemRules.layerOf(unreadable, missing, fileChanged, codecFailed))
)
