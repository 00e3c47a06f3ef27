/** Requests to finish conversations, as rows. Users take turns at them, as `Precache` has them take turns at merges. */
import { Context, Duration, Effect, Layer, Option, Schema } from "effect"
import { SecureRandom } from "effect/crypto"
import type { SqlClient } from "effect/sql"
import * as Claims from "../Claims.ts"
import { Db, type DbError } from "../Db.ts"
import type { ConversationName } from "../Recording.ts"

export interface JobName extends ConversationName {
  /** The client's id of the job; empty without one. */
  readonly job: string
}

export interface JobRequest extends JobName {
  /** The client repeats a job with the same generation, and replaces it with a later one. */
  readonly generation: number
}

export interface ClaimedJob extends JobRequest {
  readonly id: string
  readonly token: string
}

/** `finished`: what the conversation is. The others end a job without effect. */
export const Outcome = Schema.Literals(["finished", "conversation_not_found"])
export type Outcome = typeof Outcome.Type

/** `stale`: a later generation exists. `leased`: it is being done, or is about to be. `failing`: it failed and is retried. */
export type JobState = Outcome | "dead" | "stale" | "leased" | "failing" | "gone"

/** The token of a claim is not the row's. */
export class LeaseEnded extends Schema.TaggedError<LeaseEnded>()("LeaseEnded", { id: Schema.String }) {
  override get message() {
    return `the lease of finalization ${this.id} has ended`
  }
}

/** Waiting jobs of a user; one more is refused. */
const maxWaiting = 10_000

/** How long an ended job is known, and answers a repeated request. */
const rowsKept = Duration.days(3)

/** Rows that are removed at once. */
const pruned = 500

/** Rows are counted up to this number. */
const maxCounted = 10_000

/** Between turns of a user whose due jobs are locked. */
const lockedPause = Duration.seconds(1)

const lapsedError = "the node that ran it has ended or was cut off"

export class FinalizationRows extends Context.Service<
  FinalizationRows,
  {
    /** Makes the job due if it is new, or of a later generation than before. False: too many of the user wait. */
    request(request: JobRequest): Effect.Effect<boolean, DbError>
    /** The next user's next job; none if no turn is due. Undefined if the user has none that can be claimed. */
    readonly claim: Effect.Effect<Option.Option<ClaimedJob | undefined>, DbError>
    extend(claimed: ClaimedJob): Effect.Effect<void, DbError | LeaseEnded>
    /** Ends the job with the outcome of `work`, in one transaction with it. */
    complete<E>(claimed: ClaimedJob, work: Effect.Effect<Outcome, E>): Effect.Effect<Outcome, E | DbError | LeaseEnded>
    /** Due again after the backoff, or dead after the last attempt. */
    fail(claimed: ClaimedJob, error: string): Effect.Effect<"failed" | "dead" | "lost", DbError>
    /** Due at once, without a failure. */
    release(claimed: ClaimedJob): Effect.Effect<void, DbError>
    /** In the order of the requests. */
    states(requests: ReadonlyArray<JobRequest>): Effect.Effect<ReadonlyArray<JobState>, DbError>
    /** Removes a bounded number of old rows. */
    readonly prune: Effect.Effect<void, DbError>
    /** Each counted to 10,000. */
    readonly backlog: Effect.Effect<{ readonly waiting: number; readonly dead: number }, DbError>
  }
>()("spillway/Finalization/FinalizationRows") {
  static readonly layer = Layer.effect(
    FinalizationRows,
    Effect.suspend(() => make)
  )
}

const turns: Claims.Table<{ readonly uid: string }> = {
  name: "finalization_turns",
  idType: "bigint",
  columns: ["uid"],
  schema: Schema.Struct({ uid: Schema.String })
}

const Claimed = Schema.Struct({
  id: Schema.String,
  conversation: Schema.String,
  job: Schema.String,
  generation: Schema.Finite
})
const decodeClaimed = Schema.decodeUnknownEffect(Schema.Array(Claimed))

const State = Schema.Struct({
  n: Schema.Int,
  generation: Schema.NullOr(Schema.Finite),
  outcome: Schema.NullOr(Outcome),
  isDead: Schema.Boolean,
  attempts: Schema.NullOr(Schema.Int)
})
const decodeStates = Schema.decodeUnknownEffect(Schema.Array(State))

const secondsOf = (duration: Duration.Duration) => `${Duration.toSeconds(duration)} seconds`

const takeTurn = (sql: SqlClient.SqlClient, uid: string) => sql`
  INSERT INTO finalization_turns AS t (uid, due_at) VALUES (${uid}, now())
  ON CONFLICT (uid) DO UPDATE SET due_at = least(t.due_at, excluded.due_at), token = NULL`

const stateOf = (state: typeof State.Type, asked: number): JobState => {
  if (state.generation === null) return "gone"
  if (state.generation > asked) return "stale"
  if (state.outcome !== null) return state.outcome
  if (state.isDead) return "dead"
  return (state.attempts ?? 0) > 0 ? "failing" : "leased"
}

const make = Effect.gen(function* () {
  const db = yield* Db
  const claims = yield* Claims.make(turns)
  const leases = Claims.leases(db, { name: "finalizations", idType: "bigint" })

  const isOwned = (sql: SqlClient.SqlClient, { id, token }: ClaimedJob) =>
    sql`id = ${id}::bigint AND token = ${token}::uuid`

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
        if (due.length > 0) yield* takeTurn(sql, uid)
        return true
      })
    )

  const take = Effect.fnUntraced(function* (uid: string, turn: { readonly id: string; readonly token: string }) {
    const token = SecureRandom.uuidV4Unsafe()
    const isOwn = (sql: SqlClient.SqlClient) => sql`id = ${turn.id}::bigint AND token = ${turn.token}::uuid`
    const [row] = yield* db.write("FinalizationRows.take", (sql) =>
      sql`
        WITH first AS (
          SELECT id, attempts + (token IS NOT NULL)::int AS failures FROM finalizations
          WHERE uid = ${uid} AND due_at <= now() ORDER BY due_at, id LIMIT 1 FOR UPDATE SKIP LOCKED
        ), judged AS (
          SELECT *, failures >= ${Claims.maxAttempts} AS is_dead FROM first
        ), taken AS (
          UPDATE finalizations AS f
          SET attempts = failures, token = CASE WHEN NOT is_dead THEN ${token}::uuid END,
              due_at = CASE WHEN NOT is_dead THEN now() + ${secondsOf(Claims.lease)}::interval END,
              dead_at = CASE WHEN is_dead THEN now() END,
              last_error = CASE WHEN is_dead THEN ${lapsedError} ELSE last_error END
          FROM judged WHERE f.id = judged.id
          RETURNING f.id, f.due_at, conversation_id, job, generation, is_dead
        ), others AS (
          SELECT due_at FROM finalizations
          WHERE uid = ${uid} AND due_at IS NOT NULL AND id IS DISTINCT FROM (SELECT id FROM taken)
          ORDER BY due_at, id LIMIT 1
        ), next AS (
          SELECT greatest(
            due_at, now() + CASE WHEN EXISTS (SELECT FROM taken) THEN '0' ELSE ${secondsOf(lockedPause)} END::interval
          ) AS due_at
          FROM (SELECT least((SELECT due_at FROM others), (SELECT due_at FROM taken)) AS due_at) AS waiting
          WHERE due_at IS NOT NULL
        ), placed AS (
          UPDATE finalization_turns SET due_at = next.due_at, token = NULL FROM next WHERE ${isOwn(sql)}
        ), ended AS (
          DELETE FROM finalization_turns WHERE ${isOwn(sql)} AND NOT EXISTS (SELECT FROM next)
        )
        SELECT id::text AS id, conversation_id AS conversation, job, generation::float8 AS generation
        FROM taken WHERE NOT is_dead`.pipe(Effect.flatMap(decodeClaimed), Effect.catchTag("SchemaError", Effect.die))
    )
    return row === undefined ? undefined : { ...row, uid, token }
  })

  return FinalizationRows.of({
    request,
    claim: Effect.gen(function* () {
      const { rows, token } = yield* claims.claim(1)
      const [turn] = rows
      if (turn === undefined) return Option.none()
      return Option.some(yield* take(turn.columns.uid, { id: turn.id, token }))
    }),
    extend: Effect.fnUntraced(function* ({ id, token }) {
      if ((yield* leases.extend(token, [id])).length === 0) return yield* new LeaseEnded({ id })
    }),
    complete: (claimed, work) =>
      db.transaction("FinalizationRows.complete", (sql) =>
        Effect.gen(function* () {
          const owned = yield* sql`SELECT 1 FROM finalizations WHERE ${isOwned(sql, claimed)} FOR NO KEY UPDATE`
          if (owned.length === 0) return yield* new LeaseEnded({ id: claimed.id })
          const outcome = yield* work
          yield* sql`
            UPDATE finalizations
            SET due_at = NULL, token = NULL, last_error = NULL, ended_at = now(), outcome = ${outcome}
            WHERE ${isOwned(sql, claimed)}`
          return outcome
        })
      ),
    fail: Effect.fnUntraced(function* ({ id, token }, error) {
      const { dead, retried } = yield* leases.fail(token, [{ id, error }])
      if (dead + retried === 0) return "lost"
      return dead > 0 ? "dead" : "failed"
    }),
    release: (claimed) =>
      db.transactionIdempotent("FinalizationRows.release", (sql) =>
        Effect.gen(function* () {
          const rows = yield* sql`
            UPDATE finalizations SET due_at = now(), token = NULL WHERE ${isOwned(sql, claimed)} RETURNING 1`
          if (rows.length > 0) yield* takeTurn(sql, claimed.uid)
        })
      ),
    states: Effect.fnUntraced(function* (requests) {
      const wanted = requests.map(({ conversation, job, uid }, n) => ({ n, uid, conversation, job }))
      const rows = yield* db.read("FinalizationRows.states", (sql) =>
        sql`
          SELECT w.n, f.generation::float8 AS generation, f.outcome, f.dead_at IS NOT NULL AS "isDead", f.attempts
          FROM json_to_recordset(${JSON.stringify(wanted)}::json) AS w(n int, uid text, conversation text, job text)
          LEFT JOIN finalizations f ON f.uid = w.uid AND f.conversation_id = w.conversation AND f.job = w.job
          ORDER BY w.n`.pipe(Effect.flatMap(decodeStates), Effect.catchTag("SchemaError", Effect.die))
      )
      return rows.map((state) => stateOf(state, requests[state.n]?.generation ?? 0))
    }),
    prune: db.writeIdempotent("FinalizationRows.prune", (sql) =>
      Effect.asVoid(sql`
        DELETE FROM finalizations WHERE id IN (
          SELECT id FROM finalizations
          WHERE due_at IS NULL AND greatest(ended_at, dead_at) < now() - ${secondsOf(rowsKept)}::interval
          ORDER BY greatest(ended_at, dead_at), id LIMIT ${pruned}
        )`)
    ),
    backlog: db
      .read(
        "FinalizationRows.backlog",
        (sql) => sql<{ readonly waiting: number; readonly dead: number }>`
          SELECT
            (SELECT count(*)::int FROM (SELECT FROM finalizations WHERE due_at IS NOT NULL LIMIT ${maxCounted}) AS d) AS waiting,
            (SELECT count(*)::int FROM (SELECT FROM finalizations WHERE dead_at IS NOT NULL LIMIT ${maxCounted}) AS d) AS dead`
      )
      .pipe(Effect.map(([row]) => row ?? { waiting: 0, dead: 0 }))
  })
})
