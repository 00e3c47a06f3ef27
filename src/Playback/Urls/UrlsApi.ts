/** The contract of `/v1/sync/audio/{conversation}/urls`. */
import { Schema } from "effect"
import { HttpApi, HttpApiEndpoint, HttpApiGroup, OpenApi } from "effect/http-api"
import { Authorization } from "../../Auth.ts"
import { Problem, strict } from "../../Http.ts"
import { Id } from "../../Id.ts"
import { Format } from "../AudioApi.ts"
import { FilesCursor } from "../ConversationsApi.ts"
import { Reason } from "./Artifacts.ts"

/** `cached` audio has a `signed_url`, `unavailable` audio a `reason`. Audio is never `pending`: it is read while it is sent. */
const access = {
  status: Schema.Literals(["cached", "pending", "unavailable"]),
  reason: Schema.optionalKey(Reason),
  signed_url: Schema.optionalKey(Schema.String),
  content_type: Schema.optionalKey(Schema.String)
}

/** The state of the file's artifact, as WAV for PCM. `failed`: the last attempt to merge it. */
const ArtifactInfo = Schema.Struct({
  state: Schema.Literals(["merged", "merging", "failed"]),
  reason: Schema.optionalKey(Reason)
}).annotate({ identifier: "Artifact" })

const AudioFileUrl = Schema.Struct({
  id: Schema.String,
  ...access,
  artifact: Schema.optionalKey(ArtifactInfo),
  duration: Schema.Finite,
  started_at: Schema.DateTimeUtcFromString
}).annotate({ identifier: "AudioFileUrl" })

/** Where an audio file lies, in seconds: from the start of the conversation, and in the conversation as one file. */
const ArtifactSpan = Schema.Struct({
  file_id: Schema.String,
  wall_offset: Schema.Finite,
  artifact_offset: Schema.Finite,
  len: Schema.Finite
})

/** All audio files of the conversation as one, one after another. `captured_duration`: without silence. */
const ConversationAudio = Schema.Struct({
  ...access,
  duration: Schema.Finite,
  captured_duration: Schema.Finite,
  spans: Schema.Array(ArtifactSpan)
}).annotate({ identifier: "ConversationAudio" })

/** What is unknown is left out, never null. `files_next`: the `files_before` of earlier files, if there are any. */
export const AudioUrlsInfo = Schema.Struct({
  audio_files: Schema.Array(AudioFileUrl),
  conversation_audio: Schema.optionalKey(ConversationAudio),
  files_next: Schema.optionalKey(Schema.String)
}).annotate({ identifier: "AudioUrls" })

export class UrlsGroup extends HttpApiGroup.make("urls")
  .add(
    HttpApiEndpoint.get("list", "/:conversation/urls", {
      params: { conversation: Id },
      query: {
        format: Schema.optionalKey(Format),
        files_before: Schema.optionalKey(FilesCursor),
        uid: Schema.optionalKey(Id)
      },
      success: AudioUrlsInfo,
      error: Problem.documented(404)
    })
      .annotate(OpenApi.Summary, "URLs of the latest 1,000 audio files, valid for an hour without a key")
      .annotate(
        OpenApi.Description,
        "`conversation_audio` is the whole conversation as one file, without the time between its audio files. It is left out if there are more than 1,000, or of several sample rates."
      )
  )
  .middleware(Authorization)
  .prefix("/v1/sync/audio")
  .annotateMerge(strict)
  .annotate(OpenApi.Description, "URLs that play audio without a key.") {}

export class UrlsApi extends HttpApi.make("spillway-urls").add(UrlsGroup) {}
