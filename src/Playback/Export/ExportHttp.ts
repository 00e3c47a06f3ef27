/** `/v1/conversations/{id}/export`. */
import { Effect, Layer, Option } from "effect"
import { HttpApiBuilder } from "effect/http-api"
import { Authentication } from "../../Auth.ts"
import { inBackground } from "../../Bulkhead.ts"
import { callerOf, DbCaller } from "../../Db.ts"
import { Problem, ProblemRules, rule } from "../../Http.ts"
import { FirstAudio } from "../FirstAudio.ts"
import { ListenerSeats } from "../ListenerSeats.ts"
import * as RenditionResponse from "../Rendition/RenditionResponse.ts"
import { Export, NothingToExport, SeveralSampleRates, TooManyFiles } from "./Export.ts"
import { ExportApi, secondsOf } from "./ExportApi.ts"

const tooManyFiles = rule(TooManyFiles, ({ format, limit }) => {
  const advice = "Export it in parts with `from` and `to`"
  return new Problem({
    status: 400,
    code: "too-many-audio-files",
    title: "The conversation has more audio files than one export",
    detail: `A ${format} has at most ${limit} of them. ${advice}${format === "zip" ? "" : ", or as `format=zip`"}.`
  })
})

const nothing = rule(NothingToExport, () => Problem.notFound("There is no audio in this time."))

const severalRates = rule(SeveralSampleRates, () =>
  Problem.conflict(
    "several-sample-rates",
    "The conversation has several sample rates",
    "They don't fit into one file. Export it as `format=zip`, which has one for each audio file."
  )
)

const group = HttpApiBuilder.group(
  ExportApi,
  "export",
  Effect.fn(function* (handlers) {
    const { authenticate } = yield* Authentication
    const exports = yield* Export
    const problems = yield* ProblemRules
    const firstAudio = yield* FirstAudio
    const seats = yield* ListenerSeats
    return handlers.handleRaw("export", ({ params: { id }, query, request }) =>
      Effect.gen(function* () {
        const { uid } = yield* authenticate(request, { query: true })
        yield* seats.take(uid)
        const [from, to] = [query.from, query.to].map((text) => (text === undefined ? undefined : secondsOf(text)))
        if (from !== undefined && to !== undefined && from >= to)
          return yield* Problem.badRequest("`from` must be before `to`.")
        return yield* Effect.gen(function* () {
          const found = yield* exports.open({ uid, conversation: id }, { from, to }, query.format ?? "wav")
          if (Option.isNone(found)) return yield* Problem.notFound("There is no conversation with this id.")
          return yield* RenditionResponse.respond(request, id, found.value, firstAudio, "attachment")
        }).pipe(inBackground, Effect.provideService(DbCaller, callerOf(uid)))
      }).pipe(problems.respond)
    )
  })
)

export const layer = HttpApiBuilder.layer(ExportApi).pipe(
  Layer.provide(group),
  Layer.provide([Export.layer, ListenerSeats.layer, FirstAudio.layer]),
  Layer.merge(ProblemRules.layerOf(tooManyFiles, nothing, severalRates))
)
