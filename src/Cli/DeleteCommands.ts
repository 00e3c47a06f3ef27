/** `spillway delete CONVERSATION` and `spillway purge UID`: delete for ever, and wait until it is proven. */
import { Effect, Schema, Terminal } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import { HttpClientRequest } from "effect/http"
import { CliConfig } from "./CliConfig.ts"
import * as Client from "./Client.ts"
import * as Conversations from "./Conversations.ts"
import * as Flags from "./Flags.ts"
import * as Reconnect from "./Reconnect.ts"
import { Screen } from "./Screen.ts"
import * as Target from "./Target.ts"
import * as Format from "./Format.ts"

const Job = Schema.Struct({
  job_id: Schema.String,
  status: Schema.Literals(["scheduled", "running", "pending", "dead", "done", "cancelled"]),
  due_at: Schema.NullOr(Schema.DateTimeUtcFromString),
  finished_at: Schema.NullOr(Schema.DateTimeUtcFromString),
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
})
type Job = typeof Job.Type

const Account = Schema.Struct({
  conversations: Schema.Finite,
  captured_duration: Schema.Finite,
  keys: Schema.Finite
})

/** How often the job is read. */
const pollEvery = "500 millis"

/** The answer was not yes. */
class NotConfirmed extends Schema.TaggedError<NotConfirmed>()("NotConfirmed", {}) {
  override get message() {
    return "Nothing was deleted. Confirm with yes, or use --yes."
  }
}

/** The job has ended without a proof that everything is deleted. */
class NotDeleted extends Schema.TaggedError<NotDeleted>()("NotDeleted", { job: Schema.String, reason: Schema.String }) {
  override get message() {
    return `The deletion is not complete (job ${this.job}): ${this.reason}`
  }
}

/** The server's bound. */
const maxDelaySeconds = 86_400

const flags = {
  yes: Flag.Boolean("yes").pipe(Flag.withDescription("Do not ask"), Flag.withDefault(false)),
  delay: Flag.Int("delay").pipe(
    Flag.withDescription("Start the deletion after this many seconds, and print how to undo it; default: 0"),
    Flag.withMetavar("SECONDS"),
    Flag.filter(
      (seconds) => seconds >= 0 && seconds <= maxDelaySeconds,
      () => `0 to ${maxDelaySeconds}`
    ),
    Flag.withDefault(0)
  ),
  ...Flags.server
}

interface Consent {
  readonly yes: boolean
  readonly delay: number
}

const confirm = Effect.fnUntraced(function* (what: string, { delay, yes }: Consent) {
  const { print } = yield* Screen
  yield* print(what)
  if (yes) return
  yield* print(
    delay === 0 ? "This can't be undone. Delete? Type yes:" : `Delete in ${Format.counted(delay, "second")}? Type yes:`
  )
  const terminal = yield* Terminal.Terminal
  const answer = yield* Effect.orElseSucceed(terminal.readLine, () => "")
  if (answer.trim().toLowerCase() !== "yes") return yield* new NotConfirmed()
})

const showProgress = Effect.fnUntraced(function* (job: Job) {
  const { deleted, expected_chunks: expected, last_error, left_objects: left, status } = job
  const { progress } = yield* Screen
  // Rows and objects are deleted one after the other.
  const fraction = expected === 0 ? undefined : Math.min(1, (deleted.chunks + deleted.objects) / (2 * expected))
  const what = `${Format.counted(deleted.chunks, "chunk")}, ${Format.counted(deleted.objects, "object")}`
  const note =
    status === "pending"
      ? `; retried: ${last_error ?? "unknown reason"}`
      : left === 0
        ? "; waiting to check once more for audio in flight"
        : ""
  yield* progress(fraction, what + note)
})

/** Reads the job until it has ended. A purge deletes the account's keys before its end, so the server may reject this one. */
const awaitEnd = Effect.fnUntraced(function* (target: Target.Target, requested: Job) {
  const config = yield* CliConfig
  const { result } = yield* Screen
  const request = HttpClientRequest.get(`/v1/deletions/${requested.job_id}`)
  let job = requested
  while (job.status === "running" || job.status === "pending" || job.status === "scheduled") {
    yield* showProgress(job)
    yield* Effect.sleep(pollEvery)
    const read = yield* Reconnect.retrying(
      Effect.catchIf(
        Effect.asSome(Client.json(target, request, Job)),
        (error) => error._tag === "ErrorResponse" && error.status === 401,
        () => Effect.succeedNone
      ),
      config
    )
    if (read._tag === "None")
      return yield* result("The account and this key are deleted. The server checks once more for audio in flight.")
    job = read.value
  }
  if (job.status !== "done")
    return yield* new NotDeleted({ job: job.job_id, reason: job.last_error ?? `it was ${job.status}` })
  const { chunks, conversations, keys, objects } = job.deleted
  const parts = [
    Format.counted(conversations, "conversation"),
    Format.counted(chunks, "chunk"),
    Format.counted(objects, "object"),
    ...(keys === 0 ? [] : [Format.counted(keys, "key")])
  ]
  yield* result(`Deleted: ${parts.join(", ")}. Nothing is left.`)
})

const remove = Effect.fnUntraced(function* (target: Target.Target, path: string, what: string, delay: number) {
  const { print, result } = yield* Screen
  const job = yield* Client.json(target, HttpClientRequest.delete(path, { urlParams: { delay } }), Job)
  if (job.finished_at !== null)
    return yield* result(`${what} was already deleted at ${Format.date(job.finished_at)} UTC.`)
  if (delay === 0 || job.status !== "scheduled" || job.due_at === null) return yield* awaitEnd(target, job)
  yield* result(`${what} will be deleted at ${Format.date(job.due_at)} UTC. Job ${job.job_id}.`)
  yield* print(`Until then, undo with: ${Target.curl(target, `/v1/deletions/${job.job_id}`)} -X DELETE`)
})

/** None if the server does not find it. */
const known = <A, E extends { readonly _tag: string }, R>(read: Effect.Effect<A, E, R>) =>
  Effect.catchIf(
    Effect.asSome(read),
    (error) => "status" in error && error.status === 404,
    () => Effect.succeedNone
  )

export const DeleteCommand = Command.make(
  "delete",
  {
    conversation: Argument.String("conversation").pipe(
      Argument.withDescription("The conversation, from `spillway conversations`")
    ),
    uid: Flags.user,
    ...flags
  },
  Effect.fnUntraced(function* ({ conversation, delay, yes, ...server }) {
    const target = yield* Target.target(server)
    const found = yield* known(Conversations.get(target, conversation))
    if (found._tag === "Some") {
      const { captured_duration: seconds, live } = found.value
      const state = live ? ", and is being recorded: the capture ends" : ""
      yield* confirm(`Conversation ${conversation} has ${Format.clock(seconds)} of audio${state}.`, { delay, yes })
    }
    yield* remove(target, Conversations.path(conversation), `Conversation ${conversation}`, delay)
  })
).pipe(Command.withDescription("Delete a conversation with all of its audio"))

export const PurgeCommand = Command.make(
  "purge",
  { uid: Argument.String("uid").pipe(Argument.withDescription("The user whose account is deleted")), ...flags },
  Effect.fnUntraced(function* ({ delay, uid, yes, ...server }) {
    const target = yield* Target.target(server)
    const path = `/v1/users/${encodeURIComponent(uid)}`
    const found = yield* known(Client.json(target, HttpClientRequest.get(path), Account))
    if (found._tag === "Some") {
      const { captured_duration: seconds, conversations, keys } = found.value
      const parts = `${Format.counted(conversations, "conversation")}, ${Format.clock(seconds)} of audio and ${Format.counted(keys, "key")}`
      yield* confirm(`User ${uid} has ${parts}.`, { delay, yes })
    }
    yield* remove(target, path, `User ${uid}`, delay)
  })
).pipe(Command.withDescription("Delete an account: all of its conversations, audio and keys"))
