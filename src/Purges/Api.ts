/** The contract of deleting conversations and accounts. */
import { Schema } from "effect"
import { HttpApi, HttpApiEndpoint, HttpApiGroup, HttpApiSchema, OpenApi } from "effect/http-api"
import { Authorization } from "../Auth.ts"
import { Problem, strict } from "../Http.ts"
import { Id } from "../Id.ts"

/** A day. */
const maxDelaySeconds = 86_400

/**
 * `conversation_id`: null for an account. `due_at`: when it starts, resumes or is retried, or the lease of its node ends; null
 * when it is dead or over. `expected_chunks`: number at the start. `deleted`: what is gone so far. `left_objects`: what the last
 * attempt found and could not delete, null before it.
 */
export const PurgeInfo = Schema.Struct({
  job_id: Schema.String,
  status: Schema.Literals(["scheduled", "running", "pending", "dead", "done", "cancelled"]),
  uid: Schema.String,
  conversation_id: Schema.NullOr(Schema.String),
  requested_at: Schema.DateTimeUtcFromString,
  due_at: Schema.NullOr(Schema.DateTimeUtcFromString),
  started_at: Schema.NullOr(Schema.DateTimeUtcFromString),
  finished_at: Schema.NullOr(Schema.DateTimeUtcFromString),
  attempts: Schema.Int,
  expected_chunks: Schema.Finite,
  deleted: Schema.Struct({
    conversations: Schema.Finite,
    chunks: Schema.Finite,
    objects: Schema.Finite,
    bytes: Schema.Finite,
    keys: Schema.Finite
  }),
  left_objects: Schema.NullOr(Schema.Finite),
  last_error: Schema.NullOr(Schema.String)
}).annotate({ identifier: "DeletionJob" })

/** Conversations and their seconds are counted to 10,000 conversations. */
export const AccountInfo = Schema.Struct({
  uid: Schema.String,
  conversations: Schema.Int,
  captured_duration: Schema.Finite,
  keys: Schema.Int
}).annotate({ identifier: "Account" })

const delay = Schema.optionalKey(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: maxDelaySeconds })))

const JobId = Schema.String.check(
  Schema.makeFilter((text) => /^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/.test(text), { expected: "a `job_id`" })
)

/** `at`: when the server answered, by the clock of `due_at`. `next`: the `after` of the next page, null on the last one. */
export const PurgesPage = Schema.Struct({
  at: Schema.DateTimeUtcFromString,
  deletions: Schema.Array(PurgeInfo),
  next: Schema.NullOr(Schema.String)
}).annotate({ identifier: "DeletionJobs" })

const Limit = Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 100 }))

const notFound = Problem.documented(404)
const requested = { success: PurgeInfo.pipe(HttpApiSchema.status(202)), error: notFound }
const ofUser = { params: { uid: Id } }
const ofJob = { params: { job: JobId }, success: PurgeInfo }

export class PurgesGroup extends HttpApiGroup.make("purges")
  .add(
    HttpApiEndpoint.delete("conversation", "/v1/conversations/:id", {
      params: { id: Id },
      query: { delay, uid: Schema.optionalKey(Id) },
      ...requested
    }).annotate(OpenApi.Summary, "Delete a conversation with all of its audio, `delay` seconds from now"),
    HttpApiEndpoint.get("account", "/v1/users/:uid", { ...ofUser, success: AccountInfo, error: notFound }).annotate(
      OpenApi.Summary,
      "What an account has"
    ),
    HttpApiEndpoint.delete("user", "/v1/users/:uid", { ...ofUser, query: { delay }, ...requested }).annotate(
      OpenApi.Summary,
      "Delete an account: all conversations, audio and keys"
    ),
    HttpApiEndpoint.get("list", "/v1/deletions", {
      query: {
        /** Those of all users. Requires a key with the scope `admin`. */
        all: Schema.optionalKey(Schema.Literal("true")),
        state: Schema.optionalKey(Schema.Literals(["unfinished", "dead"])),
        limit: Schema.optionalKey(Limit),
        after: Schema.optionalKey(JobId),
        uid: Schema.optionalKey(Id)
      },
      success: PurgesPage
    }).annotate(
      OpenApi.Summary,
      "Deletions that are not over, by user and conversation, or the dead ones by time, 20 a page by default"
    ),
    HttpApiEndpoint.get("job", "/v1/deletions/:job", { ...ofJob, error: notFound }).annotate(
      OpenApi.Summary,
      "How far a deletion is"
    ),
    HttpApiEndpoint.delete("cancel", "/v1/deletions/:job", { ...ofJob, error: Problem.documented(404, 409) }).annotate(
      OpenApi.Summary,
      "Undo a deletion that has not started"
    )
  )
  .middleware(Authorization)
  .annotateMerge(strict)
  // A misspelt `delay` must not delete at once.
  .annotate(HttpApi.QueryParseOptions, { errors: "all", onExcessProperty: "error" })
  .annotate(OpenApi.Description, "Deletion of conversations and accounts.") {}

export class PurgesApi extends HttpApi.make("spillway-purges").add(PurgesGroup) {}
