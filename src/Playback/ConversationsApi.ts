/** The contract of `/v1/conversations`. */
import { Schema } from "effect"
import { HttpApi, HttpApiEndpoint, HttpApiGroup, OpenApi } from "effect/http-api"
import { Span } from "../Audio.ts"
import { Problem, strict } from "../Http.ts"
import { Authorization } from "../Auth.ts"
import { Id } from "../Id.ts"

/** Times are RFC 3339, durations seconds; `bytes` is the size as WAV. */
export const AudioFileInfo = Schema.Struct({
  id: Schema.String,
  started_at: Schema.DateTimeUtcFromString,
  duration: Schema.Finite,
  codec: Span.Codec,
  sample_rate: Schema.Int,
  bytes: Schema.Int
}).annotate({ identifier: "AudioFile" })

/**
 * `duration`: from the first sample to the last. `captured_duration`: without silence. `started_at`: null before the first
 * sample. `audio_files`: the latest ones, by start. `files_next`: the `files_before` of the previous page, null on the last
 * one. `clock_shifts`: chunks placed later than their timestamps, because other audio is recorded at these times.
 */
export const ConversationInfo = Schema.Struct({
  id: Schema.String,
  uid: Schema.String,
  live: Schema.Boolean,
  started_at: Schema.NullOr(Schema.DateTimeUtcFromString),
  finished_at: Schema.NullOr(Schema.DateTimeUtcFromString),
  duration: Schema.Finite,
  captured_duration: Schema.Finite,
  lost_seconds: Schema.Finite,
  clock_shifts: Schema.Int,
  audio_files: Schema.Array(AudioFileInfo),
  files_next: Schema.NullOr(Schema.String)
}).annotate({ identifier: "Conversation" })

/** `next`: the `before` of the next page, null on the last one. */
export const ConversationsPage = Schema.Struct({
  conversations: Schema.Array(ConversationInfo),
  next: Schema.NullOr(Schema.String)
}).annotate({ identifier: "Conversations" })

const Limit = Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 100 }))

const Cursor = Schema.String.check(
  Schema.makeFilter((text) => /^\d{1,18}-\d{1,18}$/.test(text), { expected: "the `next` of the previous page" })
)

/** A `files_next`. */
export const FilesCursor = Schema.String.check(
  Schema.makeFilter(
    (text) => /^-?\d{1,20}(\.\d{1,20})?(e[+-]\d{1,3})?_[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/.test(text),
    {
      expected: "the `files_next` of the previous page"
    }
  )
)

/** The user to act for. Requires a key with the scope `service`. */
const uid = Schema.optionalKey(Id)

export class ConversationsGroup extends HttpApiGroup.make("conversations")
  .add(
    HttpApiEndpoint.get("list", "/", {
      query: { limit: Schema.optionalKey(Limit), before: Schema.optionalKey(Cursor), uid },
      success: ConversationsPage
    }).annotate(OpenApi.Summary, "Conversations, newest first, 20 a page by default"),
    HttpApiEndpoint.get("get", "/:id", {
      params: { id: Id },
      query: { files_before: Schema.optionalKey(FilesCursor), uid },
      success: ConversationInfo,
      error: Problem.documented(404)
    }).annotate(OpenApi.Summary, "A conversation and its latest 1,000 audio files, or earlier ones with `files_before`")
  )
  .middleware(Authorization)
  .prefix("/v1/conversations")
  .annotateMerge(strict)
  .annotate(OpenApi.Description, "Recorded conversations.") {}

export class ConversationsApi extends HttpApi.make("spillway-conversations").add(ConversationsGroup) {}
