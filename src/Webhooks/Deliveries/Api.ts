/** The contract of the log of deliveries, of what operators see, and of the events. */
import { Schema } from "effect"
import { HttpApi, HttpApiEndpoint, HttpApiGroup, HttpApiSchema, OpenApi } from "effect/http-api"
import { Authorization } from "../../Auth.ts"
import * as Events from "../../Events.ts"
import { Problem, strict } from "../../Http.ts"
import { Id } from "../../Id.ts"
import { Instant } from "../../Instant.ts"
import { DisabledReason } from "../Endpoints/Endpoint.ts"
import * as Ids from "../Ids.ts"
import { maxReplayed, State } from "./DeliveryRows.ts"

const Time = Schema.DateTimeUtcFromString

/** `attempts`: made so far. `status`, `millis` and `error` are of the latest one. */
const DeliveryInfo = Schema.Struct({
  event_id: Ids.EventId,
  type: Schema.String,
  state: State,
  attempts: Schema.Int,
  status: Schema.NullOr(Schema.Int),
  millis: Schema.NullOr(Schema.Int),
  error: Schema.NullOr(Schema.String),
  created_at: Time,
  next_attempt_at: Schema.NullOr(Time),
  ended_at: Schema.NullOr(Time)
}).annotate({ identifier: "Delivery" })
export type DeliveryInfo = typeof DeliveryInfo.Type

/** `request` and `response` are heads. `body`: the first 64 KiB of the response. */
const AttemptInfo = Schema.Struct({
  number: Schema.Int,
  at: Time,
  millis: Schema.Int,
  request: Schema.String,
  status: Schema.NullOr(Schema.Int),
  response: Schema.NullOr(Schema.String),
  body: Schema.NullOr(Schema.String),
  error: Schema.NullOr(Schema.String)
}).annotate({ identifier: "Attempt" })

/** `payload` is null when it is removed, after 30 days, or stored encrypted. The latest 20 attempts. */
const DeliveryDetails = Schema.Struct({
  delivery: DeliveryInfo,
  attempts: Schema.Array(AttemptInfo),
  payload: Schema.NullOr(Schema.String)
}).annotate({ identifier: "DeliveryDetails" })

/** `success_rate`: of the latest 1,000 deliveries that ended, null without any. `pending` is counted to 10,000. */
const HealthInfo = Schema.Struct({
  state: Schema.Literals(["healthy", "failing", "disabled", "off"]),
  success_rate: Schema.NullOr(Schema.Finite),
  p50_millis: Schema.NullOr(Schema.Finite),
  p95_millis: Schema.NullOr(Schema.Finite),
  pending: Schema.Int,
  next_attempt_at: Schema.NullOr(Time),
  failures: Schema.Int,
  failing_since: Schema.NullOr(Time)
}).annotate({ identifier: "WebhookHealth" })
export type HealthInfo = typeof HealthInfo.Type

/** `to` is exclusive. `states`: by default those that are dead. */
const RangeRequest = Schema.Struct({
  from: Instant,
  to: Instant,
  states: Schema.optionalKey(Schema.Array(State).check(Schema.isMinLength(1))),
  dry_run: Schema.optionalKey(Schema.Boolean)
}).annotate({ identifier: "ReplayRange" })

const Limit = Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 500 }))
const query = { uid: Schema.optionalKey(Id) }
const params = { id: Ids.EndpointId }
const one = { id: Ids.EndpointId, event: Ids.EventId }

export class DeliveriesGroup extends HttpApiGroup.make("deliveries")
  .add(
    HttpApiEndpoint.get("list", "/v1/webhooks/:id/deliveries", {
      params,
      query: {
        ...query,
        state: Schema.optionalKey(State),
        type: Schema.optionalKey(Schema.String),
        before: Schema.optionalKey(Ids.EventId),
        limit: Schema.optionalKey(Limit)
      },
      success: Schema.Struct({ deliveries: Schema.Array(DeliveryInfo), next: Schema.NullOr(Ids.EventId) }),
      error: Problem.documented(404)
    }).annotate(OpenApi.Summary, "Deliveries, newest first; `next` is the `before` of the next page"),
    HttpApiEndpoint.get("get", "/v1/webhooks/:id/deliveries/:event", {
      params: one,
      query,
      success: DeliveryDetails,
      error: Problem.documented(404)
    }).annotate(OpenApi.Summary, "A delivery with its attempts"),
    HttpApiEndpoint.post("replay", "/v1/webhooks/:id/deliveries/:event/replay", {
      params: one,
      query,
      success: HttpApiSchema.NoContent.pipe(HttpApiSchema.status(202)),
      error: Problem.documented(404, 409)
    }).annotate(OpenApi.Summary, "Send the event again, with all retries"),
    HttpApiEndpoint.post("replayRange", "/v1/webhooks/:id/replay", {
      params,
      query,
      payload: RangeRequest,
      success: Schema.Struct({ deliveries: Schema.Int, is_complete: Schema.Boolean, dry_run: Schema.Boolean }),
      error: Problem.documented(404, 409)
    }).annotate(
      OpenApi.Summary,
      `Send the events of a time range again, at most ${maxReplayed}, 100 a second; \`dry_run\` only counts them`
    ),
    HttpApiEndpoint.get("health", "/v1/webhooks/:id/health", {
      params,
      query,
      success: HealthInfo,
      error: Problem.documented(404)
    }).annotate(OpenApi.Summary, "Success rate, latency and next attempt of a webhook"),
    HttpApiEndpoint.get("worst", "/v1/admin/webhooks", {
      success: Schema.Struct({
        webhooks: Schema.Array(
          Schema.Struct({
            id: Ids.EndpointId,
            uid: Schema.NullOr(Schema.String),
            url: Schema.String,
            failures: Schema.Int,
            failing_since: Schema.NullOr(Time),
            overdue_seconds: Schema.Finite,
            disabled_at: Schema.NullOr(Time),
            disabled_reason: Schema.NullOr(DisabledReason)
          })
        )
      })
    }).annotate(OpenApi.Summary, "The 50 webhooks that fail most; needs a key with the scope `admin`")
  )
  .middleware(Authorization)
  .annotateMerge(strict)
  .annotate(OpenApi.Description, "The log of what was delivered to webhooks, kept for 90 days.") {}

export class DeliveriesApi extends HttpApi.make("spillway-deliveries").add(DeliveriesGroup) {}

const header = (name: string, description: string) => ({
  name,
  in: "header",
  required: true,
  schema: { type: "string" },
  description
})

const headers = [
  header("webhook-id", "The id of the event, the same in all attempts"),
  header("webhook-timestamp", "The time of the attempt, in seconds since the Unix epoch"),
  header(
    "webhook-signature",
    "Signatures by the live secrets, as Standard Webhooks defines: `v1,` or `v1a,` and base64"
  )
]

const payloadOf = ({ data, name }: Events.Definition) =>
  Schema.toJsonSchemaDocument(
    Schema.Struct({ type: Schema.Literal(name), timestamp: Schema.DateTimeUtcFromString, data })
  ).schema

/** The section `webhooks` of `/openapi.json`: each type of events, with the schema of its payload. All modules are loaded. */
export function eventsSection() {
  return Object.fromEntries(
    Events.definitions().map((type) => [
      type.name,
      {
        post: {
          tags: ["webhooks"],
          summary: type.description,
          parameters: headers,
          requestBody: { content: { "application/json": { schema: payloadOf(type) } } },
          responses: {
            "2XX": { description: "Delivered" },
            410: { description: "The endpoint wants no events any more, and is disabled" },
            default: {
              description: "408, 429, 5xx and no response are retried, with `Retry-After`; other responses are not"
            }
          }
        }
      }
    ])
  )
}
