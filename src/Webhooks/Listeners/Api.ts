/** The contract of listeners. */
import { Schema } from "effect"
import { HttpApi, HttpApiEndpoint, HttpApiGroup, HttpApiSchema, OpenApi } from "effect/http-api"
import { Authorization } from "../../Auth.ts"
import { Problem, strict } from "../../Http.ts"
import { Id } from "../../Id.ts"
import * as Ids from "../Ids.ts"

/** As for a webhook. `secret` verifies the signatures in `headers`. */
const NewListener = Schema.Struct({
  types: Schema.optionalKey(Schema.Array(Schema.String).check(Schema.isMinLength(1), Schema.isMaxLength(100))),
  global: Schema.optionalKey(Schema.Boolean)
}).annotate({ identifier: "NewListener" })

/** `received`: ids of events that are not returned again. */
const Poll = Schema.Struct({
  received: Schema.Array(Ids.EventId).check(Schema.isMaxLength(100))
}).annotate({ identifier: "Poll" })

/** `headers` and `body` are those of the request that a webhook would receive. */
const Event = Schema.Struct({
  id: Ids.EventId,
  type: Schema.String,
  headers: Schema.Record(Schema.String, Schema.String),
  body: Schema.String
}).annotate({ identifier: "ListenerEvent" })

const params = { id: Ids.EndpointId }
const query = { uid: Schema.optionalKey(Id) }

export class ListenersGroup extends HttpApiGroup.make("listeners")
  .add(
    HttpApiEndpoint.post("create", "/", {
      query,
      payload: [NewListener, Schema.Null],
      success: Schema.Struct({ id: Ids.EndpointId, secret: Schema.String }).pipe(HttpApiSchema.status(201)),
      error: Problem.documented(409, 422)
    }).annotate(OpenApi.Summary, "Listen to events; only this response contains the secret"),
    HttpApiEndpoint.post("poll", "/:id/poll", {
      params,
      query,
      payload: Poll,
      success: Schema.Struct({ events: Schema.Array(Event) }),
      error: Problem.documented(404)
    }).annotate(
      OpenApi.Summary,
      "Wait up to 20 seconds for events; they are returned again until they are in `received`"
    ),
    HttpApiEndpoint.delete("remove", "/:id", {
      params,
      query,
      error: Problem.documented(404)
    }).annotate(OpenApi.Summary, "Stop listening")
  )
  .middleware(Authorization)
  .prefix("/v1/webhook-listeners")
  .annotateMerge(strict)
  .annotate(OpenApi.Description, "Webhooks without a URL, for development: events are fetched instead of sent.") {}

export class ListenersApi extends HttpApi.make("spillway-listeners").add(ListenersGroup) {}
