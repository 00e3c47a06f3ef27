/** The contract of `/api/v1/studio/streams`. */
import { Schema } from "effect"
import { HttpApi, HttpApiEndpoint, HttpApiGroup, HttpApiSchema, OpenApi } from "effect/http-api"
import { Authorization, OptionalAuthorization } from "../Auth.ts"
import { Problem, strict } from "../Http.ts"
import { Id } from "../Id.ts"
import { contentTypes } from "../Playback.ts"
import { ChatChanges, Description, isSlug, Title, Visibility } from "./Stream.ts"

export const Slug = Schema.String.check(
  Schema.makeFilter(isSlug, { expected: "3 to 64 characters of a-z 0-9 -, no - at an end" })
)

/** `slow_mode_seconds`: least time between two messages of a user. */
const ChatInfo = Schema.Struct({ enabled: Schema.Boolean, slow_mode_seconds: Schema.Int }).annotate({
  identifier: "ChatSettings"
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
    HttpApiEndpoint.post("end", "/:slug/end", {
      params,
      query,
      payload: [Schema.Struct({}), Schema.Null],
      success: StreamInfo,
      error: Problem.documented(404)
    }).annotate(OpenApi.Summary, "End the broadcast at once; without one, nothing changes"),
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

/**
 * `bitrate`: bits per second of audio that arrived in the last 30 seconds. `chat`: null without a chat. `queues`: chunks of audio on
 * their way to the store, for the owner and admins.
 */
const MetricsInfo = Schema.Struct({
  at: Schema.DateTimeUtcFromString,
  live: Schema.NullOr(LiveInfo),
  bitrate: Schema.Int,
  listeners: Schema.Int,
  chat: Schema.NullOr(Schema.Struct({ messages_per_minute: Schema.Int })),
  queues: Schema.NullOr(Schema.Struct({ queued: Schema.Int, deferred: Schema.Int }))
}).annotate({ identifier: "StreamMetrics" })
export type MetricsInfo = typeof MetricsInfo.Type

/** `from`: seconds from the start of the audio; if negative, from what is durable now. */
const From = Schema.FiniteFromString.check(Schema.isBetween({ minimum: -3_600, maximum: 1e9 }))

/** `access_token`: a key, for players that send no headers. */
export const listening = {
  path: "/api/v1/studio/streams/:slug/audio",
  params: Schema.Struct(params),
  query: Schema.Struct({
    ...query,
    format: Schema.optionalKey(Schema.Literals(["wav", "pcm", "ogg"])),
    from: Schema.optionalKey(From),
    access_token: Schema.optionalKey(Schema.String)
  })
} as const

export class StreamAudioGroup extends HttpApiGroup.make("streamAudio")
  .add(
    HttpApiEndpoint.get("listen", listening.path, {
      params: listening.params,
      query: listening.query,
      success: HttpApiSchema.StreamUint8Array({
        contentType: [contentTypes.ogg, contentTypes.wav, contentTypes.pcm]
      }),
      error: Problem.documented(400, 401, 403, 404, 429, 500, 503)
    })
      .annotate(OpenApi.Summary, "The live audio of a stream as Ogg Opus, WAV or PCM")
      .annotate(
        OpenApi.Description,
        "Ends with the broadcast, or when its capture leaves. `from` is in seconds from the start of the audio; a negative number counts from now, by default -3. Only the node that the stream is captured on sends it; others answer 503 with `stream-elsewhere`."
      )
  )
  .annotateMerge(strict)
  .annotate(
    OpenApi.Description,
    "Live audio. Private streams need a key, as `Authorization: Bearer` or `?access_token=`."
  ) {}

export class StreamGroup extends HttpApiGroup.make("stream")
  .add(
    HttpApiEndpoint.get("get", "/:slug", {
      params,
      query,
      success: StreamInfo,
      error: Problem.documented(404)
    }).annotate(OpenApi.Summary, "A stream, with its `ETag`"),
    HttpApiEndpoint.get("metrics", "/:slug/metrics", {
      params,
      query,
      success: MetricsInfo,
      error: Problem.documented(404)
    }).annotate(OpenApi.Summary, "Live metrics, cached for 3 seconds"),
    HttpApiEndpoint.get("events", "/:slug/events", {
      params,
      query,
      success: HttpApiSchema.StreamSse({ data: MetricsInfo }),
      error: Problem.documented(404)
    }).annotate(OpenApi.Summary, "The same as Server-Sent Events, one every 3 seconds")
  )
  .middleware(OptionalAuthorization)
  .prefix("/api/v1/studio/streams")
  .annotateMerge(strict)
  .annotate(OpenApi.Description, "A live stream for its audience. Private ones need a key.") {}

export class StreamsApi extends HttpApi.make("spillway-streams").add(StreamsGroup).add(StreamGroup) {}
