/** The contract of `/v1/users/{uid}/speaker-samples`. */
import { Schema } from "effect"
import { HttpApi, HttpApiEndpoint, HttpApiGroup, HttpApiSchema, OpenApi } from "effect/http-api"
import { Authorization } from "../Auth.ts"
import { Problem, strict } from "../Http.ts"
import { Id } from "../Id.ts"
import { Outcome } from "../SpeakerSamples.ts"

/** `reason`: why there is none; `processing_failed` after 20 failures. `duration` and `bytes` are those of the WAV file. */
export const SpeakerSampleInfo = Schema.Struct({
  id: Schema.String,
  person_id: Schema.String,
  conversation_id: Schema.String,
  status: Schema.Literals(["waiting", "stored", "failed"]),
  reason: Schema.NullOr(Schema.Union([Outcome, Schema.Literal("processing_failed")])),
  requested_at: Schema.DateTimeUtcFromString,
  duration: Schema.NullOr(Schema.Finite),
  bytes: Schema.NullOr(Schema.Int)
}).annotate({ identifier: "SpeakerSample" })

/** `next`: the `before` of the next page, null on the last one. */
const SpeakerSamplesPage = Schema.Struct({
  samples: Schema.Array(SpeakerSampleInfo),
  next: Schema.NullOr(Schema.String)
}).annotate({ identifier: "SpeakerSamples" })

const SampleId = Schema.String.check(Schema.isPattern(/^\d{1,18}$/))

const Limit = Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 100 }))

const of = { uid: Id }
const one = { uid: Id, id: SampleId }

export class SpeakerSamplesGroup extends HttpApiGroup.make("speakerSamples")
  .add(
    HttpApiEndpoint.get("list", "/:uid/speaker-samples", {
      params: of,
      query: {
        person: Schema.optionalKey(Id),
        before: Schema.optionalKey(SampleId),
        limit: Schema.optionalKey(Limit)
      },
      success: SpeakerSamplesPage
    }).annotate(OpenApi.Summary, "Speaker samples of a user or of one person, newest first, 20 by default"),
    HttpApiEndpoint.get("play", "/:uid/speaker-samples/:id", {
      params: one,
      success: Schema.Uint8Array.pipe(HttpApiSchema.asUint8Array({ contentType: "audio/wav" })),
      error: Problem.documented(404, 429, 500, 503)
    }).annotate(OpenApi.Summary, "The WAV file of a speaker sample"),
    HttpApiEndpoint.delete("remove", "/:uid/speaker-samples/:id", {
      params: one,
      success: HttpApiSchema.NoContent,
      error: Problem.documented(404)
    }).annotate(OpenApi.Summary, "Delete a speaker sample, or its request")
  )
  .middleware(Authorization)
  .prefix("/v1/users")
  .annotateMerge(strict)
  .annotate(OpenApi.Description, "Samples of the voices of persons, cut from conversations on request (105).") {}

export class SpeakerSamplesApi extends HttpApi.make("spillway-speaker-samples").add(SpeakerSamplesGroup) {}
