/** The contract of `/v1/captures`. */
import { Schema } from "effect"
import { HttpApi, HttpApiEndpoint, HttpApiGroup, HttpApiSchema, OpenApi } from "effect/http-api"
import { Span } from "../Audio.ts"
import { Problem, strict } from "../Http.ts"
import { Authorization } from "../Auth.ts"
import { Id } from "../Id.ts"

/** Lags are seconds; `queued` and `deferred` count chunks, `dropped_segments` those of transcripts. */
export const CaptureInfo = Schema.Struct({
  id: Schema.Int,
  uid: Schema.String,
  conversation: Schema.NullOr(Schema.String),
  sample_rate: Schema.Int,
  codec: Span.Codec,
  client_kind: Schema.String,
  opened_at: Schema.DateTimeUtcFromString,
  bytes: Schema.Int,
  bytes_per_second: Schema.Finite,
  waiting_bytes: Schema.Int,
  ack_lag: Schema.Finite,
  upload_lag: Schema.Finite,
  queued: Schema.Int,
  deferred: Schema.Int,
  dropped_segments: Schema.Int
}).annotate({ identifier: "Capture" })

const Bound = Schema.Struct({
  name: Schema.String,
  unit: Schema.Literals(["count", "bytes"]),
  used: Schema.Finite,
  limit: Schema.Finite,
  waiting: Schema.Finite
}).annotate({ identifier: "Bound" })

/** `troubles` and `store`: counts since the start, `store` by the classes of operations that object stores bill. `failing`: failed and degraded checks. */
const NodeInfo = Schema.Struct({
  captures: Schema.Int,
  bytes_per_second: Schema.Finite,
  bounds: Schema.Array(Bound),
  troubles: Schema.Array(Schema.Struct({ name: Schema.String, count: Schema.Finite })),
  failing: Schema.Array(Schema.Struct({ name: Schema.String, reason: Schema.String })),
  memory: Schema.Struct({ rss: Schema.Int, heap: Schema.Int, external: Schema.Int }),
  store: Schema.Struct({
    class_a: Schema.Int,
    class_b: Schema.Int,
    read_bytes: Schema.Finite,
    written_bytes: Schema.Finite,
    audio_seconds: Schema.Finite
  })
}).annotate({ identifier: "Node" })

/** `node` is null for keys without the scope `admin` or `service`. `total` can exceed the number of `captures`. */
export const CapturesInfo = Schema.Struct({
  at: Schema.DateTimeUtcFromString,
  total: Schema.Int,
  captures: Schema.Array(CaptureInfo),
  node: Schema.NullOr(NodeInfo)
}).annotate({ identifier: "Captures" })

const query = { uid: Schema.optionalKey(Id) }

export class CapturesGroup extends HttpApiGroup.make("captures")
  .add(
    HttpApiEndpoint.get("now", "/", { query, success: CapturesInfo }).annotate(
      OpenApi.Summary,
      "Open captures of this node, and the node's bounds"
    ),
    HttpApiEndpoint.get("events", "/events", {
      query,
      success: HttpApiSchema.StreamSse({ data: CapturesInfo }),
      error: Problem.documented(429)
    }).annotate(OpenApi.Summary, "The same as Server-Sent Events, one a second")
  )
  .middleware(Authorization)
  .prefix("/v1/captures")
  .annotateMerge(strict)
  .annotate(
    OpenApi.Description,
    "Open captures. A key with the scope `admin` or `service` sees all captures, or those of `?uid=`; others see their own."
  ) {}

export class CapturesApi extends HttpApi.make("spillway-captures").add(CapturesGroup) {}
