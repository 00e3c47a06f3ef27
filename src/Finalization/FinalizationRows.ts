/** Requests to finish conversations, as rows. Users take turns at them. */
import { Context, Effect, Layer, Schema } from "effect"
import { Db, type DbError } from "../Db.ts"
import type { ConversationName } from "../Recording.ts"
import * as FairClaims from "../FairClaims.ts"

export interface JobName extends ConversationName {
  /** The client's id of the job; empty without one. */
  readonly job: string
}

export interface JobRequest extends JobName {
  /** The client repeats a job with the same generation, and replaces it with a later one. */
  readonly generation: number
}

export interface ClaimedJob extends JobRequest, FairClaims.Claimed {}

/** `finished`: what the conversation is. The others end a job without effect. */
export const Outcome = Schema.Literals(["finished", "conversation_not_found"])
export type Outcome = typeof Outcome.Type

/**
 * `stale`: a later generation exists. `leased`: it is being done, or is about to be. `failing`: it failed and is retried.
 * `conflicting`: it is retried because its last attempt lost its lease, and so could not record how it ended.
 */
export type JobState = Outcome | "dead" | "stale" | "leased" | "failing" | "conflicting" | "gone"

/** Waiting jobs of a user; one more is refused. */
const maxWaiting = 10_000

const Columns = Schema.Struct({ conversation: Schema.String, job: Schema.String, generation: Schema.Finite })

const jobs: FairClaims.Jobs<typeof Columns.Type> = {
  name: "finalizations",
  turns: "finalization_turns",
  columns: (sql) => sql`conversation_id as conversation, job, generation::float8 as generation`,
  schema: Columns,
  ended: "ended_at",
  lapsed: { error: "the node that ran it has ended or was cut off" }
}

export class FinalizationRows extends Context.Service<
  FinalizationRows,
  FairClaims.FairClaims<typeof Columns.Type> & {
    /** Makes the job due if it is new, or of a later generation than before. False: too many of the user wait. */
    request(request: JobRequest): Effect.Effect<boolean, DbError>
    /** Ends the job with the outcome of `work`, in one transaction with it. */
    complete<E>(
      claimed: ClaimedJob,
      work: Effect.Effect<Outcome, E>
    ): Effect.Effect<Outcome, E | DbError | FairClaims.LeaseEnded>
    /** In the order of the requests. */
    states(requests: ReadonlyArray<JobRequest>): Effect.Effect<ReadonlyArray<JobState>, DbError>
  }
>()("spillway/Finalization/FinalizationRows") {
  static readonly layer = Layer.effect(
    FinalizationRows,
    Effect.suspend(() => make)
  )
}

const State = Schema.Struct({
  n: Schema.Int,
  generation: Schema.NullOr(Schema.Finite),
  outcome: Schema.NullOr(Outcome),
  isDead: Schema.Boolean,
  attempts: Schema.NullOr(Schema.Int),
  hasLapsed: Schema.NullOr(Schema.Boolean)
})
const decodeStates = Schema.decodeUnknownEffect(Schema.Array(State))

const stateOf = (state: typeof State.Type, generation: number): JobState => {
  if (state.generation === null) return "gone"
  if (state.generation > generation) return "stale"
  if (state.outcome !== null) return state.outcome
  if (state.isDead) return "dead"
  if ((state.attempts ?? 0) === 0) return "leased"
  return state.hasLapsed === true ? "conflicting" : "failing"
}

const make = Effect.gen(function* () {
  const db = yield* Db
  const turns = yield* FairClaims.make(jobs)

  const request: FinalizationRows["Service"]["request"] = ({ conversation, generation, job, uid }) =>
    db.transactionIdempotent("FinalizationRows.request", (sql) =>
      Effect.gen(function* () {
        const full = yield* sql`
          SELECT 1 FROM finalizations WHERE uid = ${uid} AND due_at IS NOT NULL OFFSET ${maxWaiting - 1} LIMIT 1`
        if (full.length > 0) return false
        // Without an id, a request after the end is a new one.
        const due = yield* sql`
          INSERT INTO finalizations AS f (uid, conversation_id, job, generation, due_at)
          VALUES (${uid}, ${conversation}, ${job}, ${String(generation)}::bigint, now())
          ON CONFLICT (uid, conversation_id, job) DO UPDATE
          SET generation = excluded.generation, due_at = excluded.due_at, attempts = 0, token = NULL, last_error = NULL,
              dead_at = NULL, ended_at = NULL, outcome = NULL
          WHERE f.generation < excluded.generation OR (f.job = '' AND f.due_at IS NULL)
          RETURNING 1`
        if (due.length > 0) yield* FairClaims.takeTurn(sql, jobs, uid)
        return true
      })
    )

  return FinalizationRows.of({
    ...turns,
    request,
    complete: (claimed, work) =>
      db.transaction("FinalizationRows.complete", (sql) =>
        Effect.gen(function* () {
          const owned =
            yield* sql`SELECT 1 FROM finalizations WHERE ${FairClaims.isOwned(sql, claimed)} FOR NO KEY UPDATE`
          if (owned.length === 0) return yield* new FairClaims.LeaseEnded({ table: jobs.name, id: claimed.id })
          const outcome = yield* work
          yield* sql`
            UPDATE finalizations
            SET due_at = NULL, token = NULL, last_error = NULL, ended_at = now(), outcome = ${outcome}
            WHERE ${FairClaims.isOwned(sql, claimed)}`
          return outcome
        })
      ),
    states: Effect.fnUntraced(function* (requests) {
      const wanted = requests.map(({ conversation, job, uid }, n) => ({ n, uid, conversation, job }))
      const rows = yield* db.read("FinalizationRows.states", (sql) =>
        sql`
          SELECT w.n, f.generation::float8 AS generation, f.outcome, f.dead_at IS NOT NULL AS "isDead", f.attempts,
                 f.last_error = ${jobs.lapsed.error} AS "hasLapsed"
          FROM json_to_recordset(${JSON.stringify(wanted)}::json) AS w(n int, uid text, conversation text, job text)
          LEFT JOIN finalizations f ON f.uid = w.uid AND f.conversation_id = w.conversation AND f.job = w.job
          ORDER BY w.n`.pipe(Effect.flatMap(decodeStates), Effect.catchTag("SchemaError", Effect.die))
      )
      return rows.map((state) => stateOf(state, requests[state.n]?.generation ?? 0))
    })
  })
})
