/** The contract of `/api/v1/studio/streams`. */
import { Schema } from "effect"
import { HttpApi, HttpApiEndpoint, HttpApiGroup, HttpApiSchema, OpenApi } from "effect/http-api"
import { Authorization, OptionalAuthorization } from "../Auth.ts"
import { Problem, strict } from "../Http.ts"
import { Id } from "../Id.ts"
import { Visibility } from "./Stream.ts"

export const Slug = Schema.String.check(
  Schema.makeFilter((slug) => /^[a-z0-9](?:[a-z0-9-]{1,62})[a-z0-9]$/.test(slug), {
    expected: "3 to 64 characters of a-z 0-9 -, no - at an end"
  })
)

const Title = Schema.String.check(
  Schema.makeFilter((title) => title.trim() !== "" && title.length <= 255 && !title.includes("\0"), {
    expected: "1 to 255 characters, not only spaces"
  })
)
const Description = Schema.String.check(
  Schema.makeFilter((text) => text.length <= 5_000 && !text.includes("\0"), { expected: "at most 5,000 characters" })
)

/** `slow_mode_seconds`: least time between two messages of a user. */
const ChatInfo = Schema.Struct({ enabled: Schema.Boolean, slow_mode_seconds: Schema.Int }).annotate({
  identifier: "ChatSettings"
})
const ChatChanges = Schema.Struct({
  enabled: Schema.optionalKey(Schema.Boolean),
  slow_mode_seconds: Schema.optionalKey(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 120 })))
})

/** `reconnecting`: no capture feeds it now. `conversation_id`: for its owner and admins. */
const LiveInfo = Schema.Struct({
  broadcast: Schema.Int,
  started_at: Schema.DateTimeUtcFromString,
  reconnecting: Schema.Boolean,
  conversation_id: Schema.NullOr(Schema.String)
}).annotate({ identifier: "Live" })

/** `live`: null while it is not live. */
const StreamInfo = Schema.Struct({
  slug: Schema.String,
  uid: Schema.String,
  title: Schema.String,
  description: Schema.String,
  visibility: Visibility,
  chat: ChatInfo,
  live: Schema.NullOr(LiveInfo),
  created_at: Schema.DateTimeUtcFromString
}).annotate({ identifier: "Stream" })
export type StreamInfo = typeof StreamInfo.Type

const NewStream = Schema.Struct({
  slug: Slug,
  title: Title,
  description: Schema.optionalKey(Description),
  visibility: Schema.optionalKey(Visibility),
  chat: Schema.optionalKey(ChatChanges)
}).annotate({ identifier: "NewStream" })

/** What is left out is kept. */
const Changes = Schema.Struct({
  slug: Schema.optionalKey(Slug),
  title: Schema.optionalKey(Title),
  description: Schema.optionalKey(Description),
  visibility: Schema.optionalKey(Visibility),
  chat: Schema.optionalKey(ChatChanges)
}).annotate({ identifier: "StreamChanges" })

const params = { slug: Slug }
const query = { uid: Schema.optionalKey(Id) }
/** The `ETag` of the stream that is changed. */
const headers = { "if-match": Schema.optionalKey(Schema.String) }

const Limit = Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 100 }))
const Cursor = Schema.String.check(
  Schema.makeFilter((text) => /^\d{1,15}$/.test(text), { expected: "the `next` of the previous page" })
)

export class StreamsGroup extends HttpApiGroup.make("streams")
  .add(
    HttpApiEndpoint.get("list", "/", {
      query: { ...query, limit: Schema.optionalKey(Limit), before: Schema.optionalKey(Cursor) },
      success: Schema.Struct({ streams: Schema.Array(StreamInfo), next: Schema.NullOr(Schema.String) })
    }).annotate(OpenApi.Summary, "Streams of the user, newest first, 20 a page by default"),
    HttpApiEndpoint.post("create", "/", {
      query,
      payload: NewStream,
      success: Schema.Struct({ stream: StreamInfo, key: Schema.String }).pipe(HttpApiSchema.status(201)),
      error: Problem.documented(409)
    }).annotate(OpenApi.Summary, "Create a stream; only this response contains its stream key"),
    HttpApiEndpoint.patch("update", "/:slug", {
      params,
      query,
      headers,
      payload: Changes,
      success: StreamInfo,
      error: Problem.documented(404, 409, 412)
    }).annotate(OpenApi.Summary, "Change a stream; with `If-Match` only the version with this `ETag`"),
    HttpApiEndpoint.delete("remove", "/:slug", {
      params,
      query,
      headers,
      error: Problem.documented(404, 412)
    }).annotate(OpenApi.Summary, "Delete a stream; its recordings are kept"),
    HttpApiEndpoint.post("rotateKey", "/:slug/key", {
      params,
      query,
      payload: [Schema.Struct({}), Schema.Null],
      success: Schema.Struct({ key: Schema.String }),
      error: Problem.documented(404)
    }).annotate(OpenApi.Summary, "Replace the stream key; the former one is invalid at once")
  )
  .middleware(Authorization)
  .prefix("/api/v1/studio/streams")
  .annotateMerge(strict)
  .annotate(OpenApi.Description, "Live streams, managed by their owner. Admins manage all.") {}

export class StreamGroup extends HttpApiGroup.make("stream")
  .add(
    HttpApiEndpoint.get("get", "/:slug", {
      params,
      query,
      success: StreamInfo,
      error: Problem.documented(404)
    }).annotate(OpenApi.Summary, "A stream, with its `ETag`")
  )
  .middleware(OptionalAuthorization)
  .prefix("/api/v1/studio/streams")
  .annotateMerge(strict)
  .annotate(OpenApi.Description, "A live stream for its audience. Private ones need a key.") {}

export class StreamsApi extends HttpApi.make("spillway-streams").add(StreamsGroup).add(StreamGroup) {}
