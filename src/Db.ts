/** The database as modules use it: one policy for the timeouts, deadlines and retries of every query. */
import { Context, Duration, Effect, Schema } from "effect"
import type { SqlClient, SqlError } from "effect/sql"

export { notify, Notifications } from "./Db/Notifications.ts"

/** The database was unreachable, or rejected the statement temporarily, in all of `attempts` attempts. */
export class DbUnavailable extends Schema.TaggedError<DbUnavailable>()("DbUnavailable", {
  operation: Schema.String,
  attempts: Schema.Int,
  cause: Schema.Defect()
}) {
  override get message() {
    return `the database is not available for ${this.operation} (attempts: ${this.attempts})`
  }
}

/** One statement, or all attempts together, exceeded its time limit; `limit` says which. */
export class DbTimeout extends Schema.TaggedError<DbTimeout>()("DbTimeout", {
  operation: Schema.String,
  limit: Schema.Literals(["statement", "deadline"])
}) {
  override get message() {
    return `the database did not complete ${this.operation} in time (${this.limit})`
  }
}

/** The user's queue for connections is full. */
export class DbBusy extends Schema.TaggedError<DbBusy>()("DbBusy", {
  operation: Schema.String,
  uid: Schema.String
}) {
  override get message() {
    return `too many operations of ${this.uid} wait for the database (${this.operation})`
  }
}

export type DbError = DbUnavailable | DbTimeout | DbBusy

/** On whose behalf an operation runs. Each kind has its own connections, so that none delays another. No `uid`: internal. */
export interface DbCaller {
  readonly kind: "request" | "ingest" | "health"
  readonly uid: string | undefined
  /** The response has started, and a rejection would truncate it: the operation queues even when its queue is full. */
  readonly isStreaming?: boolean
}

export const DbCaller = Context.Reference<DbCaller>("spillway/Db/DbCaller", {
  defaultValue: () => ({ kind: "request", uid: undefined })
})

export const ingestCaller: DbCaller = { kind: "ingest", uid: undefined }
export const healthCaller: DbCaller = { kind: "health", uid: undefined }

export function callerOf(uid: string): DbCaller {
  return { kind: "request", uid }
}

/** What runs when the current transaction has committed. Undefined outside of a transaction. */
export const CommitTasks = Context.Reference<Set<() => void> | undefined>("spillway/Db/CommitTasks", {
  defaultValue: () => undefined
})

/** Runs `task` once the transaction has committed, or now outside of one. A node that is killed in between does not run it. */
export function afterCommit(task: () => void): Effect.Effect<void> {
  return Effect.withFiber((fiber) => {
    const tasks = fiber.getRef(CommitTasks)
    if (tasks === undefined) task()
    else tasks.add(task)
    return Effect.void
  })
}

/** The text of a duration that PostgreSQL casts to an interval. */
export function intervalOf(duration: Duration.Duration): string {
  return `${Duration.toSeconds(duration)} seconds`
}

type Query<A, E> = (sql: SqlClient.SqlClient) => Effect.Effect<A, E | SqlError.SqlError>

/**
 * `operation` names the query in errors, logs and metrics (`"Chunks.insert"`). Errors other than `SqlError` pass through.
 * A `SqlError` that does not concern availability (a constraint, invalid SQL) is a defect.
 *
 * An operation inside the query of a transaction joins the transaction. It is not retried alone: a database failure aborts
 * the whole transaction, which is retried. A fiber that outlives the transaction must not run one.
 */
export class Db extends Context.Service<
  Db,
  {
    /** Retried whenever the connection breaks. */
    read<A, E = never>(operation: string, query: Query<A, E>): Effect.Effect<A, Exclude<E, SqlError.SqlError> | DbError>
    /** Retried only if the statement was certainly not applied. */
    write<A, E = never>(
      operation: string,
      query: Query<A, E>
    ): Effect.Effect<A, Exclude<E, SqlError.SqlError> | DbError>
    /** Retried even if the statement may have been applied: the caller guarantees that it is idempotent. */
    writeIdempotent<A, E = never>(
      operation: string,
      query: Query<A, E>
    ): Effect.Effect<A, Exclude<E, SqlError.SqlError> | DbError>
    /** One transaction, retried as a whole, only if its commit was certainly not applied. */
    transaction<A, E = never>(
      operation: string,
      query: Query<A, E>
    ): Effect.Effect<A, Exclude<E, SqlError.SqlError> | DbError>
    /** As `transaction`, retried even if its commit may have been applied: the caller guarantees that it is idempotent. */
    transactionIdempotent<A, E = never>(
      operation: string,
      query: Query<A, E>
    ): Effect.Effect<A, Exclude<E, SqlError.SqlError> | DbError>
  }
>()("spillway/Db") {}
