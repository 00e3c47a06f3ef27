/** The contract of `/v1/admin/deletions`, for keys with the scope `admin`. */
import { Schema } from "effect"
import { HttpApi, HttpApiEndpoint, HttpApiGroup, HttpApiSchema, OpenApi } from "effect/http-api"
import { Authorization } from "../Auth.ts"
import { Problem, strict } from "../Http.ts"
import { Id } from "../Id.ts"

const State = Schema.Literals(["pending", "dead"])

/** `at`: when the object is to be deleted or the lease of its deletion ends; for a dead one, when it was given up. */
export const DeletionInfo = Schema.Struct({
  id: Schema.String,
  key: Schema.String,
  generation: Schema.String,
  uid: Schema.String,
  state: State,
  at: Schema.DateTimeUtcFromString,
  created_at: Schema.DateTimeUtcFromString,
  attempts: Schema.Int,
  last_error: Schema.NullOr(Schema.String)
}).annotate({ identifier: "Deletion" })

/**
 * `pending` above 10,000 is an estimate. `due`, `dead` and `due_within` are counted to 10,000. `due_within`: when the others
 * will be due. `deleted_by_node`: objects that the answering node has deleted since its start.
 */
const BacklogInfo = Schema.Struct({
  pending: Schema.Int,
  due: Schema.Int,
  oldest_due_seconds: Schema.Finite,
  due_within: Schema.Struct({ minute: Schema.Int, hour: Schema.Int, day: Schema.Int, later: Schema.Int }),
  dead: Schema.Int,
  deleted_by_node: Schema.Int
}).annotate({ identifier: "DeletionBacklog" })

/** `next`: the `after` of the next page, null on the last one. */
export const DeletionsPage = Schema.Struct({
  backlog: BacklogInfo,
  deletions: Schema.Array(DeletionInfo),
  next: Schema.NullOr(Schema.String)
}).annotate({ identifier: "Deletions" })

const Limit = Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 500 }))

const Cursor = Schema.String.check(
  Schema.makeFilter((text) => /^\d{1,18}-\d{1,18}$/.test(text), { expected: "the `next` of the previous page" })
)

const TombstoneId = Schema.String.check(
  Schema.makeFilter((text) => /^\d{1,18}$/.test(text), { expected: "the `id` of a deletion" })
)

export class AdminGroup extends HttpApiGroup.make("deletions")
  .add(
    HttpApiEndpoint.get("list", "/", {
      query: {
        state: Schema.optionalKey(State),
        uid: Schema.optionalKey(Id),
        limit: Schema.optionalKey(Limit),
        after: Schema.optionalKey(Cursor)
      },
      success: DeletionsPage
    }).annotate(OpenApi.Summary, "The backlog, and pending or dead deletions by time, 100 a page by default"),
    HttpApiEndpoint.post("retry", "/:id/retry", {
      params: { id: TombstoneId },
      success: HttpApiSchema.NoContent,
      error: Problem.documented(404)
    }).annotate(OpenApi.Summary, "Retry the deletion now, with 20 more attempts"),
    HttpApiEndpoint.delete("cancel", "/:id", {
      params: { id: TombstoneId },
      success: HttpApiSchema.NoContent,
      error: Problem.documented(404)
    }).annotate(OpenApi.Summary, "Cancel the deletion: the object stays")
  )
  .middleware(Authorization)
  .prefix("/v1/admin/deletions")
  .annotateMerge(strict)
  .annotate(OpenApi.Description, "Deletions of objects in the store. Requires a key with the scope `admin`.") {}

export class AdminApi extends HttpApi.make("spillway-deletions").add(AdminGroup) {}
