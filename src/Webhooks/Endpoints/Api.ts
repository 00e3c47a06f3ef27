/** The contract of `/v1/webhooks`: endpoints. */
import { Schema } from "effect"
import { HttpApi, HttpApiEndpoint, HttpApiGroup, HttpApiSchema, OpenApi } from "effect/http-api"
import { Authorization } from "../../Auth.ts"
import { Problem, strict } from "../../Http.ts"
import { Id } from "../../Id.ts"
import * as Ids from "../Ids.ts"
import { DisabledReason } from "./Endpoint.ts"

const between = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))

/** Seconds of live audio in one request. */
const AudioSeconds = between(1, 60)
/** Requests a second. */
const Rate = between(1, 1_000)
const Description = Schema.String.check(Schema.isMaxLength(1_000))
const Types = Schema.Array(Schema.String).check(Schema.isMinLength(1), Schema.isMaxLength(100))
const Headers = Schema.Record(Schema.String, Schema.String)

/**
 * `uid` null: it receives the events of all users. `disabled_at`: deliveries have ended, because the endpoint answered 410
 * (`gone`) or fails (`failing`). `headers`: the names of its own headers.
 */
const EndpointInfo = Schema.Struct({
  id: Ids.EndpointId,
  uid: Schema.NullOr(Schema.String),
  url: Schema.String,
  types: Schema.Array(Schema.String),
  description: Schema.String,
  enabled: Schema.Boolean,
  disabled_at: Schema.NullOr(Schema.DateTimeUtcFromString),
  disabled_reason: Schema.NullOr(DisabledReason),
  audio_seconds: Schema.NullOr(Schema.Int),
  rate: Schema.NullOr(Schema.Int),
  headers: Schema.Array(Schema.String),
  created_at: Schema.DateTimeUtcFromString
}).annotate({ identifier: "Webhook" })
export type EndpointInfo = typeof EndpointInfo.Type

/** Only this response contains `secret`. `public_key` verifies the signatures of `v1a`. */
const secretFields = { secret: Schema.String, public_key: Schema.NullOr(Schema.String) }

/** `types`: names of types of events, or `*` for all. `global`: events of all users; for admins. */
const NewEndpoint = Schema.Struct({
  url: Schema.String,
  types: Schema.optionalKey(Types),
  description: Schema.optionalKey(Description),
  enabled: Schema.optionalKey(Schema.Boolean),
  audio_seconds: Schema.optionalKey(Schema.NullOr(AudioSeconds)),
  rate: Schema.optionalKey(Schema.NullOr(Rate)),
  headers: Schema.optionalKey(Headers),
  signature: Schema.optionalKey(Schema.Literals(["v1", "v1a"])),
  global: Schema.optionalKey(Schema.Boolean)
}).annotate({ identifier: "NewWebhook" })

/** What is left out is kept. `headers` replaces all of them. `enabled: true` resumes the deliveries of a disabled endpoint. */
const Changes = Schema.Struct({
  url: Schema.optionalKey(Schema.String),
  types: Schema.optionalKey(Types),
  description: Schema.optionalKey(Description),
  enabled: Schema.optionalKey(Schema.Boolean),
  audio_seconds: Schema.optionalKey(Schema.NullOr(AudioSeconds)),
  rate: Schema.optionalKey(Schema.NullOr(Rate)),
  headers: Schema.optionalKey(Headers)
}).annotate({ identifier: "WebhookChanges" })

const params = { id: Ids.EndpointId }
const query = { uid: Schema.optionalKey(Id) }

/** A week. */
const maxOverlapSeconds = 604_800

export class EndpointsGroup extends HttpApiGroup.make("webhooks")
  .add(
    HttpApiEndpoint.get("list", "/", {
      query: { ...query, global: Schema.optionalKey(Schema.Literals(["true", "false"])) },
      success: Schema.Struct({ webhooks: Schema.Array(EndpointInfo), types: Schema.Array(Schema.String) })
    }).annotate(OpenApi.Summary, "Webhooks of the user, or those of all users, and the types of events"),
    HttpApiEndpoint.post("create", "/", {
      query,
      payload: NewEndpoint,
      success: Schema.Struct({ webhook: EndpointInfo, ...secretFields }).pipe(HttpApiSchema.status(201)),
      error: Problem.documented(409, 422)
    }).annotate(OpenApi.Summary, "Create a webhook; only this response contains its secret"),
    HttpApiEndpoint.get("get", "/:id", {
      params,
      query,
      success: EndpointInfo,
      error: Problem.documented(404)
    }).annotate(OpenApi.Summary, "A webhook"),
    HttpApiEndpoint.patch("update", "/:id", {
      params,
      query,
      payload: Changes,
      success: EndpointInfo,
      error: Problem.documented(404, 422)
    }).annotate(OpenApi.Summary, "Change a webhook"),
    HttpApiEndpoint.delete("remove", "/:id", {
      params,
      query,
      error: Problem.documented(404)
    }).annotate(OpenApi.Summary, "Delete a webhook, and the log of its deliveries"),
    HttpApiEndpoint.post("rotate", "/:id/secret", {
      params,
      query,
      payload: [Schema.Struct({ overlap_seconds: Schema.optionalKey(between(0, maxOverlapSeconds)) }), Schema.Null],
      success: Schema.Struct(secretFields),
      error: Problem.documented(404)
    }).annotate(OpenApi.Summary, "Replace the secret; the former one signs, too, for a day or `overlap_seconds`"),
    HttpApiEndpoint.post("test", "/:id/test", {
      params,
      query,
      success: Schema.Struct({ event_id: Ids.EventId }).pipe(HttpApiSchema.status(202)),
      error: Problem.documented(404, 409)
    }).annotate(OpenApi.Summary, "Send an event `webhook.test`; the log of deliveries has its outcome")
  )
  .middleware(Authorization)
  .prefix("/v1/webhooks")
  .annotateMerge(strict)
  .annotate(OpenApi.Description, "Endpoints that receive events, signed as Standard Webhooks defines.") {}

export class EndpointsApi extends HttpApi.make("spillway-webhooks").add(EndpointsGroup) {}
