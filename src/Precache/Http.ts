/** `/v1/sync/audio/{conversation}/precache`. */
import { Effect, Layer, Option } from "effect"
import { HttpApiBuilder } from "effect/http-api"
import { Principal } from "../Auth.ts"
import { Problem, ProblemRules } from "../Http.ts"
import { Precache } from "../Precache.ts"
import { PrecacheApi } from "./Api.ts"

const group = HttpApiBuilder.group(
  PrecacheApi,
  "precache",
  Effect.fn(function* (handlers) {
    const precache = yield* Precache
    const { answer } = yield* ProblemRules
    return handlers.handleAll({
      start: Effect.fnUntraced(function* ({ params: { conversation }, query: { format = "wav" } }) {
        const { uid } = yield* Principal
        const files = yield* answer(precache.request(uid, conversation, format))
        if (Option.isNone(files)) return yield* Problem.notFound("There is no conversation with this id.")
        if (files.value === 0)
          return { status: "no_audio" as const, message: "The conversation has no recorded audio." }
        return { status: "started" as const, audio_file_count: files.value }
      })
    })
  })
)

export const layer = HttpApiBuilder.layer(PrecacheApi).pipe(Layer.provide(group))
