/** `/v1/sync/audio/{conversation}/precache`. */
import { Effect, Layer, Option } from "effect"
import { HttpApiBuilder } from "effect/http-api"
import { Principal } from "../Auth.ts"
import { Problem, ProblemRules } from "../Http.ts"
import { Playback } from "../Playback.ts"
import { Precache } from "../Precache.ts"
import { PrecacheApi } from "./Api.ts"

const group = HttpApiBuilder.group(
  PrecacheApi,
  "precache",
  Effect.fn(function* (handlers) {
    const playback = yield* Playback
    const precache = yield* Precache
    const { answer } = yield* ProblemRules
    return handlers.handleAll({
      start: Effect.fnUntraced(function* ({ params: { conversation } }) {
        const { uid } = yield* Principal
        const found = yield* answer(playback.conversation(uid, conversation, {}))
        if (Option.isNone(found)) return yield* Problem.notFound("There is no conversation with this id.")
        const { files } = found.value
        if (files.length === 0)
          return { status: "no_audio" as const, message: "The conversation has no recorded audio." }
        yield* answer(precache.request(uid, conversation))
        return { status: "started" as const, audio_file_count: files.length }
      })
    })
  })
)

export const layer = HttpApiBuilder.layer(PrecacheApi).pipe(Layer.provide(group))
