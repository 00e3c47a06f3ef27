/** The contract of `/v1/conversations/{id}/transcript`. */
import { Schema } from "effect"
import { HttpApi, HttpApiEndpoint, HttpApiGroup, HttpApiSchema, OpenApi } from "effect/http-api"
import { Authorization } from "../Auth.ts"
import { Problem, strict } from "../Http.ts"
import { Id } from "../Id.ts"

/** As the device sent it, with all of its fields. `start`: seconds from the start of the conversation. */
export const SegmentInfo = Schema.StructWithRest(Schema.Struct({ id: Schema.String, start: Schema.Finite }), [
  Schema.Record(Schema.String, Schema.Json)
]).annotate({ identifier: "Segment" })

/** `next`: the `after` of the next page, null on the last one. `revision`: the `since` of events that continue this page. */
export const TranscriptInfo = Schema.Struct({
  segments: Schema.Array(SegmentInfo),
  next: Schema.NullOr(Schema.String),
  revision: Schema.Int
}).annotate({ identifier: "Transcript" })

/** Segments that are new or have changed. */
export const TranscriptChanges = Schema.Struct({ segments: Schema.Array(SegmentInfo) }).annotate({
  identifier: "TranscriptChanges"
})

/** `id`: the revision up to which all changes have been sent. */
export const TranscriptEventInfo = Schema.Struct({
  id: Schema.String,
  event: Schema.Literal("message"),
  data: Schema.fromJsonString(TranscriptChanges)
})

const Limit = Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 500 }))

/** The start and the id of a segment. */
const Cursor = Schema.String.check(
  Schema.makeFilter((text) => /^-?\d{1,20}(\.\d{1,20})?(e[+-]\d{1,3})?_[\x21-\x7e]{1,128}$/.test(text), {
    expected: "the `next` of the previous page"
  })
)

const Revision = Schema.Int.check(Schema.isGreaterThanOrEqualTo(0))

/** The user to act for. Requires a key with the scope `service`. */
const uid = Schema.optionalKey(Id)

export class TranscriptsGroup extends HttpApiGroup.make("transcript")
  .add(
    HttpApiEndpoint.get("read", "/:id/transcript", {
      params: { id: Id },
      query: {
        from: Schema.optionalKey(Schema.Finite),
        after: Schema.optionalKey(Cursor),
        limit: Schema.optionalKey(Limit),
        uid
      },
      success: TranscriptInfo,
      error: Problem.documented(404, 500)
    }).annotate(OpenApi.Summary, "The transcript of a conversation by time, from a second on, 100 segments by default"),
    HttpApiEndpoint.get("events", "/:id/transcript/events", {
      params: { id: Id },
      query: { since: Schema.optionalKey(Revision), uid },
      headers: { "last-event-id": Schema.optionalKey(Schema.String) },
      success: HttpApiSchema.StreamSse({ events: TranscriptEventInfo }),
      error: Problem.documented(404, 429)
    }).annotate(OpenApi.Summary, "Changes of the transcript as Server-Sent Events, after a revision or from now on")
  )
  .middleware(Authorization)
  .prefix("/v1/conversations")
  .annotateMerge(strict)
  .annotate(OpenApi.Description, "What was said, as devices send it.") {}

export class TranscriptsApi extends HttpApi.make("spillway-transcript").add(TranscriptsGroup) {}
