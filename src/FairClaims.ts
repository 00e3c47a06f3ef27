/**
 * Jobs of users, claimed under the leases of `Claims`. Users take turns: a turn is a row of a user with waiting jobs, and a
 * claim takes the earliest due turn, one job of its user, and places the turn behind those of others. It reads three rows,
 * however many wait. A turn is due a lease after its user's next job at the latest.
 */
import { Duration, Effect, Option, Schema } from "effect"
import { SecureRandom } from "effect/crypto"
import { SqlClient, type SqlError, type Statement } from "effect/sql"
import * as Claims from "./Claims.ts"
import { Db, type DbError, intervalOf } from "./Db.ts"

export * as Worker from "./FairClaims/Worker.ts"

type Sql = SqlClient.SqlClient

/**
 * The table has the columns of `Claims.Table`, with an id of type bigint, and `uid`. It has indexes on `(uid, due_at, id)` and
 * on `(greatest(ended, dead_at), id)`, of rows with and without `due_at`.
 */
export interface Jobs<Columns> {
  readonly name: string
  /** The table of the turns. */
  readonly turns: string
  /** Further columns that a claim returns, and their schema. */
  readonly columns: (sql: Sql) => Statement.Fragment
  readonly schema: Schema.Decoder<Columns>
  /** The column with the time at which the row of an ended job is old. */
  readonly ended: string
  /** What a row records of a claim whose lease lapsed: its node was killed, perhaps by the job. */
  readonly lapsed: {
    readonly error: string
    /** For the column `reason`, where there is one. */
    readonly reason?: string
  }
}

export interface Claimed {
  readonly id: string
  readonly token: string
  readonly uid: string
}

/**
 * A claim whose lease lapsed has failed. `failed`: it has just been found and is retried after its backoff, which is none
 * after the first failure. `dead`: it is given up.
 */
export interface Turn<Job> {
  readonly job: Job
  readonly outcome: "claimed" | "failed" | "dead"
}

/** The token of a claim is not the row's: another node has claimed the job, or the row was deleted. */
export class LeaseEnded extends Schema.TaggedError<LeaseEnded>()("LeaseEnded", {
  table: Schema.String,
  id: Schema.String
}) {
  override get message() {
    return `the lease of row ${this.id} of ${this.table} has ended`
  }
}

export interface FairClaims<Columns> {
  /** `last_error` of a claim whose lease has lapsed. */
  readonly lapsedError: string
  /** The next turn; none if no turn is due. Undefined if its user has nothing that can be claimed. */
  readonly claim: Effect.Effect<Option.Option<Turn<Columns & Claimed> | undefined>, DbError>
  extend(claimed: Claimed): Effect.Effect<void, DbError | LeaseEnded>
  /** Due again after the backoff, or dead after the last attempt. */
  fail(claimed: Claimed, error: string): Effect.Effect<"failed" | "dead" | "lost", DbError>
  /** Due again, without a failure. */
  postpone(claimed: Claimed, after: Duration.Duration): Effect.Effect<void, DbError>
  /** Due at once, without a failure. */
  release(claimed: Claimed): Effect.Effect<void, DbError>
  /** Removes a bounded number of rows of jobs that ended long ago. */
  readonly prune: Effect.Effect<void, DbError>
  /** Each counted to 10,000. */
  readonly backlog: Effect.Effect<{ readonly waiting: number; readonly dead: number }, DbError>
}

/** Between turns of a user whose due jobs are locked. */
const lockedPause = Duration.seconds(1)

/** How long the row of an ended job stays. */
const rowsKept = Duration.days(3)

/** Rows that are removed at once. */
const pruned = 500

/** Rows are counted up to this number. */
const maxCounted = 10_000

/** A condition: the claim has the row's lease. */
export function isOwned(sql: Sql, { id, token }: Pick<Claimed, "id" | "token">): Statement.Fragment {
  return sql`id = ${id}::bigint and token = ${token}::uuid`
}

/** The user's turn is due by then. Part of the transaction that makes a job due. */
export function takeTurn(
  sql: Sql,
  { turns }: Pick<Jobs<never>, "turns">,
  uid: string,
  after: Duration.Duration = Duration.zero
): Effect.Effect<void, SqlError.SqlError> {
  return Effect.asVoid(sql`
    insert into ${sql(turns)} as t (uid, due_at) values (${uid}, now() + ${intervalOf(after)}::interval)
    on conflict (uid) do update set due_at = least(t.due_at, excluded.due_at), token = null`)
}

const Head = Schema.Struct({ id: Schema.String, verdict: Schema.Literals(["claimed", "failed", "dead"]) })
const decodeHeads = Schema.decodeUnknownEffect(Schema.Array(Head))

export const make = Effect.fnUntraced(function* <Columns>(
  jobs: Jobs<Columns>
): Effect.fn.Return<FairClaims<Columns>, never, Db> {
  const { ended, lapsed, name } = jobs
  const db = yield* Db
  const turns = yield* Claims.make({
    name: jobs.turns,
    idType: "bigint",
    columns: ["uid"],
    schema: Schema.Struct({ uid: Schema.String })
  })
  const leases = Claims.leases(db, { name, idType: "bigint" })
  const decodeColumns = Schema.decodeUnknownEffect(Schema.Array(jobs.schema))

  const claimOf = Effect.fnUntraced(function* (uid: string, turn: { readonly id: string; readonly token: string }) {
    const token = SecureRandom.uuidV4Unsafe()
    const [heads, columns] = yield* db.write(`${name}.take`, (sql) => {
      const reason =
        lapsed.reason === undefined ? sql`` : sql`, reason = case when lapsed then ${lapsed.reason} else reason end`
      return sql`
        with first as (
          select id as row, token is not null as lapsed, attempts + (token is not null)::int as failures
          from ${sql(name)} where uid = ${uid} and due_at <= now() order by due_at, id limit 1
          for update skip locked
        ), judged as (
          select *, case when failures >= ${Claims.maxAttempts} then 'dead'
                         when lapsed and failures > 1 then 'failed' else 'claimed' end as verdict
          from first
        ), taken as (
          update ${sql(name)}
          set attempts = failures, token = case verdict when 'claimed' then ${token}::uuid end,
              due_at = case verdict
                when 'claimed' then now() + ${intervalOf(Claims.lease)}::interval
                when 'failed' then now() + least(${Claims.longestBackoff}::interval, interval '1 second' * power(2, failures - 1))
              end,
              dead_at = case verdict when 'dead' then now() end,
              last_error = case when lapsed then ${lapsed.error} else last_error end ${reason}
          from judged where id = row
          returning row, due_at, id::text as id, verdict, ${jobs.columns(sql)}
        ), others as (
          select due_at from ${sql(name)}
          where uid = ${uid} and due_at is not null and id is distinct from (select row from taken)
          order by due_at, id limit 1
        ), next as (
          select greatest(
            due_at, now() + case when exists (select from taken) then '0' else ${intervalOf(lockedPause)} end::interval
          ) as due_at
          from (select least((select due_at from others), (select due_at from taken)) as due_at) as waiting
          where due_at is not null
        ), placed as (
          update ${sql(jobs.turns)} set due_at = next.due_at, token = null from next where ${isOwned(sql, turn)}
        ), ended as (
          delete from ${sql(jobs.turns)} where ${isOwned(sql, turn)} and not exists (select from next)
        )
        select * from taken`.pipe(
        Effect.flatMap((rows) => Effect.all([decodeHeads(rows), decodeColumns(rows)])),
        Effect.catchTag("SchemaError", Effect.die)
      )
    })
    const [head] = heads
    const [own] = columns
    if (head === undefined || own === undefined) return undefined
    return { job: { ...own, id: head.id, token, uid }, outcome: head.verdict }
  })

  return {
    lapsedError: lapsed.error,
    claim: Effect.gen(function* () {
      const { rows, token } = yield* turns.claim(1)
      const [turn] = rows
      if (turn === undefined) return Option.none()
      return Option.some(yield* claimOf(turn.columns.uid, { id: turn.id, token }))
    }),
    extend: Effect.fnUntraced(function* ({ id, token }) {
      if ((yield* leases.extend(token, [id])).length === 0) return yield* new LeaseEnded({ table: name, id })
    }),
    fail: Effect.fnUntraced(function* ({ id, token }, error) {
      const { dead, retried } = yield* leases.fail(token, [{ id, error }])
      if (dead + retried === 0) return "lost"
      return dead > 0 ? "dead" : "failed"
    }),
    postpone: (claimed, after) =>
      db.writeIdempotent(`${name}.postpone`, (sql) =>
        Effect.asVoid(sql`
          update ${sql(name)} set due_at = now() + ${intervalOf(after)}::interval, token = null
          where ${isOwned(sql, claimed)}`)
      ),
    release: (claimed) =>
      db.transactionIdempotent(`${name}.release`, (sql) =>
        Effect.gen(function* () {
          const rows = yield* sql`
            update ${sql(name)} set due_at = now(), token = null where ${isOwned(sql, claimed)} returning 1`
          if (rows.length > 0) yield* takeTurn(sql, jobs, claimed.uid)
        })
      ),
    prune: db.writeIdempotent(`${name}.prune`, (sql) =>
      Effect.asVoid(sql`
        delete from ${sql(name)} where id in (
          select id from ${sql(name)}
          where due_at is null and greatest(${sql(ended)}, dead_at) < now() - ${intervalOf(rowsKept)}::interval
          order by greatest(${sql(ended)}, dead_at), id limit ${pruned}
        )`)
    ),
    backlog: db
      .read(`${name}.backlog`, (sql) => {
        const count = (column: string) => sql`(
          select count(*)::int from (select from ${sql(name)} where ${sql(column)} is not null limit ${maxCounted}) as d
        )`
        return sql<{
          readonly waiting: number
          readonly dead: number
        }>`select ${count("due_at")} as waiting, ${count("dead_at")} as dead`
      })
      .pipe(Effect.map(([row]) => row ?? { waiting: 0, dead: 0 }))
  }
})
