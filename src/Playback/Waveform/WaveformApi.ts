/** The contract of `/v1/conversations/{id}/waveform`. */
import { Schema } from "effect"
import { HttpApi, HttpApiEndpoint, HttpApiGroup, OpenApi } from "effect/http-api"
import { Problem, strict } from "../../Http.ts"
import { Authorization } from "../../Auth.ts"
import { Id } from "../../Id.ts"
import { FilesCursor } from "../ConversationsApi.ts"

const Level = Schema.Array(Schema.NullOr(Schema.Int))

/**
 * `low` and `high` have one value for each point: the lowest and the highest sample, -128 to 127, or null at gaps, lost audio
 * and audio that was imported without peaks. `lost`: from and to, in seconds from the file's start. `stored`: seconds from the
 * start that are in the object store, apart from lost audio; the rest is in the journal.
 */
export const FileWaveform = Schema.Struct({
  id: Schema.String,
  started_at: Schema.DateTimeUtcFromString,
  duration: Schema.Finite,
  stored: Schema.Finite,
  low: Level,
  high: Level,
  lost: Schema.Array(Schema.Tuple([Schema.Finite, Schema.Finite]))
}).annotate({ identifier: "FileWaveform" })

/** `live`: more audio can follow. `files_next` as in the conversation. */
export const ConversationWaveform = Schema.Struct({
  live: Schema.Boolean,
  audio_files: Schema.Array(FileWaveform),
  files_next: Schema.NullOr(Schema.String)
}).annotate({ identifier: "Waveform" })

const Points = Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 10_000 }))

export class WaveformGroup extends HttpApiGroup.make("waveform")
  .add(
    HttpApiEndpoint.get("draw", "/:id/waveform", {
      params: { id: Id },
      query: {
        points: Schema.optionalKey(Points),
        files_before: Schema.optionalKey(FilesCursor),
        uid: Schema.optionalKey(Id)
      },
      success: ConversationWaveform,
      error: Problem.documented(404)
    })
      .annotate(OpenApi.Summary, "Waveforms of a conversation, without reading its audio")
      .annotate(
        OpenApi.Description,
        "1000 points by default, distributed over the audio files by duration, at least one for each file. Gaps within an audio file have points, the time between two audio files has none."
      )
  )
  .middleware(Authorization)
  .prefix("/v1/conversations")
  .annotateMerge(strict)
  .annotate(OpenApi.Description, "Peaks for drawing.") {}

export class WaveformApi extends HttpApi.make("spillway-waveform").add(WaveformGroup) {}
