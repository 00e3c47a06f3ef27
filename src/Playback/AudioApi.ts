/** The contract of `/v1/sync/audio`. */
import { Schema } from "effect"
import { HttpApiEndpoint, HttpApiGroup, HttpApiSchema, OpenApi } from "effect/http-api"
import { Problem, strict } from "../Http.ts"
import { Id } from "../Id.ts"
import { contentTypes } from "./Rendition/Rendition.ts"

export const Format = Schema.Literals(["wav", "pcm", "ogg"])

/** Headers of conditional and range requests. */
export const conditions = {
  range: Schema.optionalKey(Schema.String),
  "if-range": Schema.optionalKey(Schema.String),
  "if-match": Schema.optionalKey(Schema.String),
  "if-none-match": Schema.optionalKey(Schema.String)
}

export const AudioApi = {
  play: {
    path: "/v1/sync/audio/:conversation/:file",
    params: Schema.Struct({ conversation: Id, file: Schema.String }),
    query: Schema.Struct({
      format: Schema.optionalKey(Format),
      follow: Schema.optionalKey(Schema.Literals(["0", "1"])),
      from: Schema.optionalKey(Schema.FiniteFromString),
      access_token: Schema.optionalKey(Schema.String),
      uid: Schema.optionalKey(Id)
    })
  }
} as const

/** Without `Authorization`, because the key is also accepted as `?access_token=`: media elements can't send headers. */
export class AudioGroup extends HttpApiGroup.make("audio")
  .add(
    HttpApiEndpoint.get("play", AudioApi.play.path, {
      params: AudioApi.play.params,
      query: AudioApi.play.query,
      headers: conditions,
      success: [
        HttpApiSchema.StreamUint8Array({ contentType: [contentTypes.wav, contentTypes.pcm, contentTypes.ogg] }),
        Schema.Uint8Array.pipe(HttpApiSchema.asUint8Array(), HttpApiSchema.status(206))
      ],
      error: Problem.documented(400, 401, 403, 404, 412, 416, 429, 500, 503)
    })
      .annotate(OpenApi.Summary, "An audio file as WAV, PCM or Ogg Opus, whole or one range of its bytes")
      .annotate(
        OpenApi.Description,
        "With `follow=1` the response has no length, and continues with what is recorded until the file ends. It begins `from` seconds after the start of the file; a negative number counts from the end of the audio that is durable. `Range` is then ignored."
      )
  )
  .annotateMerge(strict)
  .annotate(
    OpenApi.Description,
    "Audio. Requires a key, as `Authorization: Bearer` or `?access_token=`. An audio file of a live conversation contains the audio that is durable so far."
  ) {}
