/** The contract of `/v1/audio`. */
import { Schema } from "effect"
import { HttpApiEndpoint, HttpApiGroup, HttpApiSchema, OpenApi } from "effect/http-api"
import { Problem, strict } from "../../Http.ts"
import { conditions } from "../AudioApi.ts"
import { contentTypes } from "../Rendition/Rendition.ts"

export const SignedAudioApi = {
  play: { path: "/v1/audio/:token", params: Schema.Struct({ token: Schema.String }), query: Schema.Struct({}) }
} as const

export class SignedAudioGroup extends HttpApiGroup.make("signed audio")
  .add(
    HttpApiEndpoint.get("play", SignedAudioApi.play.path, {
      params: SignedAudioApi.play.params,
      headers: conditions,
      success: [
        HttpApiSchema.StreamUint8Array({ contentType: Object.values(contentTypes) }),
        Schema.Uint8Array.pipe(HttpApiSchema.asUint8Array(), HttpApiSchema.status(206))
      ],
      error: Problem.documented(403, 404, 412, 416, 429, 500, 503)
    }).annotate(OpenApi.Summary, "The audio of a signed URL, whole or one range of its bytes")
  )
  .annotateMerge(strict)
  .annotate(
    OpenApi.Description,
    "Audio by the URLs of `/v1/sync/audio/{conversation}/urls`. Needs no key. A URL that was changed, has expired, or whose audio was deleted is 403."
  ) {}
