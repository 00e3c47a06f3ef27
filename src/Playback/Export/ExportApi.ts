/** The contract of exports. */
import { DateTime, Option, Result, Schema } from "effect"
import { HttpApi, HttpApiEndpoint, HttpApiGroup, HttpApiSchema, OpenApi } from "effect/http-api"
import { Problem, strict } from "../../Http.ts"
import { Id } from "../../Id.ts"
import { Instant } from "../../Instant.ts"
import { conditions } from "../AudioApi.ts"
import { contentTypes } from "../Rendition/Rendition.ts"

const decodeInstant = Schema.decodeUnknownResult(Instant)

/** Unix seconds of RFC 3339, or of Unix seconds. A `+` of a query is a space. The fraction is not rounded to milliseconds. */
export function secondsOf(text: string): number | undefined {
  if (/^-?\d{1,11}(?:\.\d{1,9})?$/.test(text)) return Number(text)
  const instant = Option.getOrUndefined(Result.getSuccess(decodeInstant(text.replace(" ", "+"))))
  if (instant === undefined) return undefined
  const fraction = Number(/\.\d+/.exec(text)?.[0] ?? 0)
  return Math.floor(DateTime.toEpochMillis(instant) / 1000) + fraction
}

const Time = Schema.String.check(
  Schema.makeFilter((text) => secondsOf(text) !== undefined, {
    expected: "a time such as 2030-01-31T09:30:00.25Z, or Unix seconds such as 1896082200.25"
  })
)

export class ExportGroup extends HttpApiGroup.make("export")
  .add(
    HttpApiEndpoint.get("export", "/:id/export", {
      params: { id: Id },
      query: {
        from: Schema.optionalKey(Time),
        to: Schema.optionalKey(Time),
        format: Schema.optionalKey(Schema.Literals(["wav", "ogg", "zip"])),
        access_token: Schema.optionalKey(Schema.String),
        uid: Schema.optionalKey(Id)
      },
      headers: conditions,
      success: [
        HttpApiSchema.StreamUint8Array({ contentType: [contentTypes.wav, contentTypes.ogg, contentTypes.zip] }),
        Schema.Uint8Array.pipe(HttpApiSchema.asUint8Array(), HttpApiSchema.status(206))
      ],
      error: Problem.documented(400, 401, 403, 404, 409, 412, 416, 429, 500, 503)
    })
      .annotate(OpenApi.Summary, "A conversation, or its part from `from` to before `to`, as a download")
      .annotate(
        OpenApi.Description,
        "`wav` and `ogg` have the audio files one after another, and take ranges. `zip` has one WAV for each audio file, and `manifest.json`."
      )
  )
  .prefix("/v1/conversations")
  .annotateMerge(strict)
  .annotate(OpenApi.Description, "Exports. Requires a key, as `Authorization: Bearer` or `?access_token=`.") {}

export class ExportApi extends HttpApi.make("spillway-export").add(ExportGroup) {}
