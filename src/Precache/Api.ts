/** The contract of `/v1/sync/audio/{conversation}/precache`. */
import { Schema } from "effect"
import { HttpApi, HttpApiEndpoint, HttpApiGroup, OpenApi } from "effect/http-api"
import { Authorization } from "../Auth.ts"
import { Problem, strict } from "../Http.ts"
import { Id } from "../Id.ts"
import { Format } from "./ArtifactRows.ts"

/** `audio_file_count`: the files that are merged or being merged, the latest 1,000 of the conversation. */
export const Started = Schema.Struct({
  status: Schema.Literal("started"),
  audio_file_count: Schema.Int
}).annotate({ identifier: "PrecacheStarted" })

export const NoAudio = Schema.Struct({
  status: Schema.Literal("no_audio"),
  message: Schema.String
}).annotate({ identifier: "PrecacheNoAudio" })

export class PrecacheGroup extends HttpApiGroup.make("precache")
  .add(
    HttpApiEndpoint.post("start", "/:conversation/precache", {
      params: { conversation: Id },
      query: { format: Schema.optionalKey(Format), uid: Schema.optionalKey(Id) },
      success: Schema.Union([Started, NoAudio]),
      error: Problem.documented(404)
    }).annotate(OpenApi.Summary, "Merge the audio files of a conversation for download from the store")
  )
  .middleware(Authorization)
  .prefix("/v1/sync/audio")
  .annotateMerge(strict)
  .annotate(OpenApi.Description, "Merged audio files.") {}

export class PrecacheApi extends HttpApi.make("spillway-precache").add(PrecacheGroup) {}
