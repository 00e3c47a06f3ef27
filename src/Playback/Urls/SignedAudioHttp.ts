/** `/v1/audio`. */
import { Effect, Layer, Option } from "effect"
import type { HttpServerRequest } from "effect/http"
import { callerOf, DbCaller } from "../../Db.ts"
import { Problem, RawRoute, Shortcuts } from "../../Http.ts"
import { isWholeId, Playback } from "../../Playback.ts"
import { FirstAudio } from "../FirstAudio.ts"
import { ListenerSeats } from "../ListenerSeats.ts"
import { ShortRanges } from "../ShortRanges.ts"
import * as RenditionResponse from "../Rendition/RenditionResponse.ts"
import { AudioTokens, type Claim } from "./AudioTokens.ts"
import { SignedAudioApi } from "./SignedAudioApi.ts"

/** One response for every token that is not valid, so that guesses reveal nothing. */
const rejected = new Problem({
  status: 403,
  code: "url-not-valid",
  title: "The URL is not valid",
  detail: "It has expired, was changed, or its audio was deleted.",
  headers: { "referrer-policy": "no-referrer" }
})

type Request = RawRoute.PartsOf<typeof SignedAudioApi.play>

const route = RawRoute.layer(
  SignedAudioApi.play,
  Effect.gen(function* () {
    const playback = yield* Playback
    const seats = yield* ListenerSeats
    const tokens = yield* AudioTokens
    const firstAudio = yield* FirstAudio

    const send = Effect.fnUntracedEager(function* (request: HttpServerRequest.HttpServerRequest, claim: Claim) {
      const { conversation, file, format, uid } = claim
      const rendition = yield* isWholeId(file)
        ? playback.openWhole(uid, conversation, format)
        : playback.open(uid, conversation, file, format, RenditionResponse.expectedRange(request))
      // A conversation that was recorded anew under the id of a deleted one is another one.
      if (Option.isNone(rendition) || rendition.value.file.id !== file) return yield* rejected
      return yield* RenditionResponse.respond(request, conversation, rendition.value, firstAudio)
    })

    return Effect.fnUntracedEager(function* ({ params, request }: Request) {
      const claim = yield* tokens.verify(params.token)
      if (Option.isNone(claim)) return yield* rejected
      const { uid } = claim.value
      // The request's scope closes when the response has been sent.
      yield* seats.take(uid)
      return yield* Effect.provideService(
        Effect.suspend(() => send(request, claim.value)),
        DbCaller,
        callerOf(uid)
      )
    })
  })
)

const path = /^\/v1\/audio\/([\w.-]+)$/

const shortcut = Layer.effectDiscard(
  Effect.gen(function* () {
    const tokens = yield* AudioTokens
    const { answer } = yield* ShortRanges
    yield* (yield* Shortcuts).add((request, response, decline) => {
      const token = path.exec(request.url ?? "")?.[1]
      const claim = token === undefined ? Option.none() : tokens.verifyNow(token, request.socket)
      return Option.isSome(claim) && answer(request, response, claim.value, decline)
    })
  })
)

export const layer = Layer.merge(route, shortcut).pipe(
  Layer.provide([AudioTokens.layer, ShortRanges.layer]),
  Layer.provide([ListenerSeats.layer, FirstAudio.layer])
)
