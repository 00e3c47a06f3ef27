/** `/v1/audio`. */
import { Effect, Layer, Option } from "effect"
import type { HttpServerRequest } from "effect/http"
import { HttpApiBuilder } from "effect/http-api"
import { callerOf, DbCaller } from "../../Db.ts"
import { Problem, ProblemRules, RangeRequest } from "../../Http.ts"
import { isWholeId, Playback, PlaybackConfig } from "../../Playback.ts"
import { ListenerSeats } from "../ListenerSeats.ts"
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

const group = HttpApiBuilder.group(
  SignedAudioApi,
  "signed audio",
  Effect.fn(function* (handlers) {
    const playback = yield* Playback
    const problems = yield* ProblemRules
    const seats = yield* ListenerSeats
    const tokens = yield* AudioTokens
    const { firstAudio } = yield* PlaybackConfig

    const play = Effect.fnUntraced(function* (request: HttpServerRequest.HttpServerRequest, claim: Claim) {
      const { conversation, file, format, uid } = claim
      const near = request.method === "GET" ? RangeRequest.expectedRange(request.headers["range"]) : undefined
      const rendition = yield* isWholeId(file)
        ? playback.openWhole(uid, conversation, format)
        : playback.open(uid, conversation, file, format, near)
      // A conversation that was recorded anew under the id of a deleted one is another one.
      if (Option.isNone(rendition) || rendition.value.file.id !== file) return yield* rejected
      return yield* RenditionResponse.respond(request, conversation, rendition.value, firstAudio)
    })

    return handlers.handleRaw("play", ({ params: { token }, request }) =>
      Effect.gen(function* () {
        const claim = yield* tokens.verify(token)
        if (Option.isNone(claim)) return yield* rejected
        const { uid } = claim.value
        // The request's scope closes when the response has been sent.
        yield* seats.take(uid)
        return yield* Effect.provideService(play(request, claim.value), DbCaller, callerOf(uid))
      }).pipe(problems.respond)
    )
  })
)

export const layer = HttpApiBuilder.layer(SignedAudioApi).pipe(
  Layer.provide(group),
  Layer.provide([AudioTokens.layer, ListenerSeats.layer])
)
