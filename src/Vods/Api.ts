/** The contract of `/api/v1/studio/vods`, and of the VODs of a stream. */
import { Schema } from "effect"
import { HttpApi, HttpApiEndpoint, HttpApiGroup, HttpApiSchema, OpenApi } from "effect/http-api"
import { Authorization, OptionalAuthorization } from "../Auth.ts"
import { Problem, strict } from "../Http.ts"
import { Id } from "../Id.ts"
import { Description, Title } from "../Streams.ts"
import { FailureReason, Format, State, Status } from "./Vod.ts"

/** What its audience sees. `stream`: the slug; null if the stream is deleted. `duration`: seconds of audio. */
const PublicVodInfo = Schema.Struct({
  id: Schema.String,
  stream: Schema.NullOr(Schema.String),
  broadcast: Schema.Int,
  title: Schema.String,
  description: Schema.String,
  duration: Schema.NullOr(Schema.Finite),
  started_at: Schema.DateTimeUtcFromString,
  created_at: Schema.DateTimeUtcFromString
}).annotate({ identifier: "PublicVod" })

/** `reason`: why it has failed. `purge_at`: until when a deleted VOD can be restored. */
export const VodInfo = Schema.Struct({
  ...PublicVodInfo.fields,
  uid: Schema.String,
  conversation_id: Schema.String,
  status: Status,
  reason: Schema.NullOr(FailureReason),
  format: Format,
  deleted_at: Schema.NullOr(Schema.DateTimeUtcFromString),
  purge_at: Schema.NullOr(Schema.DateTimeUtcFromString)
}).annotate({ identifier: "Vod" })
export type VodInfo = typeof VodInfo.Type

/**
 * `total`: VODs of the whole list, on every page of it; null with `q`, whose matches are not counted. `page`: null with `cursor`
 * or `q`. `cursor`: the `cursor` of the next page, null on the last one. A page with `q` can have fewer VODs although
 * `has_more` is true.
 */
const VodsPage = Schema.Struct({
  vods: Schema.Array(VodInfo),
  total: Schema.NullOr(Schema.Int),
  page: Schema.NullOr(Schema.Int),
  page_size: Schema.Int,
  has_more: Schema.Boolean,
  cursor: Schema.NullOr(Schema.String)
}).annotate({ identifier: "Vods" })

const StreamVodsPage = Schema.Struct({
  vods: Schema.Array(PublicVodInfo),
  page_size: Schema.Int,
  has_more: Schema.Boolean,
  cursor: Schema.NullOr(Schema.String)
}).annotate({ identifier: "StreamVods" })

/** `url`: all of the audio as one file; null if it has several sample rates or more than 1,000 files. */
const VodUrls = Schema.Struct({
  url: Schema.NullOr(Schema.String),
  content_type: Schema.String,
  expires_at: Schema.DateTimeUtcFromString,
  files: Schema.Array(
    Schema.Struct({ url: Schema.String, started_at: Schema.DateTimeUtcFromString, duration: Schema.Finite })
  )
}).annotate({ identifier: "VodUrls" })

/** `completion`: the part of the views in which at least 90 % of the VOD was heard; null without views. */
const sums = {
  views: Schema.Int,
  unique_listeners: Schema.Int,
  watch_seconds: Schema.Finite,
  completion: Schema.NullOr(Schema.Finite)
}

/** Of the last 30 days, by UTC day, today last. */
const VodAnalytics = Schema.Struct({
  ...sums,
  days: Schema.Array(Schema.Struct({ day: Schema.String, ...sums }))
}).annotate({ identifier: "VodAnalytics" })

/** `session`: a random id of one playing. `listener`: a random id that the client keeps. `seconds`: heard so far in the session. */
const Play = Schema.Struct({
  session: Id,
  listener: Schema.optionalKey(Id),
  seconds: Schema.Finite.check(Schema.isBetween({ minimum: 0, maximum: 1e9 }))
}).annotate({ identifier: "Play" })

const VodId = Schema.String.check(
  Schema.makeFilter((text) => /^[1-9]\d{0,17}$/.test(text), { expected: "the `id` of a VOD" })
)
const Cursor = Schema.String.check(
  Schema.makeFilter((text) => /^\d{1,16}-\d{1,18}$/.test(text), { expected: "the `cursor` of the previous page" })
)
const PageSize = Schema.optionalKey(Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 100 })))
const Page = Schema.optionalKey(Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 1_000_000_000 })))
const Search = Schema.optionalKey(Schema.String.check(Schema.isMaxLength(200)))

const params = { id: VodId }
const query = { uid: Schema.optionalKey(Id) }
/** The `ETag` of the VOD that is changed. */
const headers = { "if-match": Schema.optionalKey(Schema.String) }
const empty = [Schema.Struct({}), Schema.Null] as const

export class VodsGroup extends HttpApiGroup.make("vods")
  .add(
    HttpApiEndpoint.get("list", "/", {
      query: {
        ...query,
        page: Page,
        page_size: PageSize,
        status: Schema.optionalKey(State),
        cursor: Schema.optionalKey(Cursor),
        q: Search
      },
      success: VodsPage
    }).annotate(
      OpenApi.Summary,
      "VODs of the user, newest first, 20 a page by default; all users' with a key of an admin; `q` searches titles and descriptions"
    ),
    HttpApiEndpoint.get("get", "/:id", { params, query, success: VodInfo, error: Problem.documented(404) }).annotate(
      OpenApi.Summary,
      "A VOD, with its `ETag`, also if it is deleted and can be restored"
    ),
    HttpApiEndpoint.patch("update", "/:id", {
      params,
      query,
      headers,
      payload: Schema.Struct({
        title: Schema.optionalKey(Title),
        description: Schema.optionalKey(Description)
      }).annotate({ identifier: "VodChanges" }),
      success: VodInfo,
      error: Problem.documented(404, 409, 412)
    }).annotate(OpenApi.Summary, "Change a VOD; with `If-Match` only the version with this `ETag`"),
    HttpApiEndpoint.delete("remove", "/:id", {
      params,
      query,
      headers,
      success: VodInfo,
      error: Problem.documented(404, 412)
    }).annotate(OpenApi.Summary, "Delete a VOD; it can be restored for 30 days, and then its recording is purged"),
    HttpApiEndpoint.post("restore", "/:id/restore", {
      params,
      query,
      payload: empty,
      success: VodInfo,
      error: Problem.documented(404)
    }).annotate(OpenApi.Summary, "Restore a deleted VOD"),
    HttpApiEndpoint.post("retry", "/:id/retry", {
      params,
      query,
      payload: empty,
      success: VodInfo.pipe(HttpApiSchema.status(202)),
      error: Problem.documented(404, 409)
    }).annotate(OpenApi.Summary, "Prepare a VOD again that has failed"),
    HttpApiEndpoint.get("analytics", "/:id/analytics", {
      params,
      query,
      success: VodAnalytics,
      error: Problem.documented(404)
    }).annotate(OpenApi.Summary, "Views, listeners and watch time of the last 30 days")
  )
  .middleware(Authorization)
  .prefix("/api/v1/studio/vods")
  .annotateMerge(strict)
  .annotate(OpenApi.Description, "Recordings of broadcasts, managed by their owner. Admins manage all.") {}

export class VodGroup extends HttpApiGroup.make("vod")
  .add(
    HttpApiEndpoint.get("ofStream", "/streams/:slug/vods", {
      params: { slug: Schema.String.check(Schema.isMaxLength(64)) },
      query: { ...query, page_size: PageSize, cursor: Schema.optionalKey(Cursor) },
      success: StreamVodsPage,
      error: Problem.documented(404)
    }).annotate(OpenApi.Summary, "VODs of a stream that are ready, newest first"),
    HttpApiEndpoint.get("urls", "/vods/:id/urls", {
      params,
      query,
      success: VodUrls,
      error: Problem.documented(404)
    }).annotate(OpenApi.Summary, "URLs that play and download a VOD for an hour without a key"),
    HttpApiEndpoint.post("play", "/vods/:id/plays", {
      params,
      query,
      payload: Play,
      error: Problem.documented(404, 429)
    }).annotate(OpenApi.Summary, "Report how much of a VOD was heard in a session; again replaces the former report")
  )
  .middleware(OptionalAuthorization)
  .prefix("/api/v1/studio")
  .annotateMerge(strict)
  .annotate(OpenApi.Description, "VODs for the audience of their stream. Those of private streams need a key.") {}

export class VodsApi extends HttpApi.make("spillway-vods").add(VodsGroup).add(VodGroup) {}
