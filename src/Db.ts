/** PostgreSQL: every query goes through this one place, which decides on timeouts, deadlines and retries. */
import { Context, Effect, Schema } from "effect"
import type { SqlClient, SqlError } from "effect/sql"

/** The database could not be reached, or refused the statement for now, in `attempts` attempts. */
export class DbUnavailable extends Schema.TaggedError<DbUnavailable>()("DbUnavailable", {
  operation: Schema.String,
  attempts: Schema.Int,
  cause: Schema.Defect()
}) {}

/** The statement, or all attempts together, took longer than allowed; `limit` names which of the two. */
export class DbTimeout extends Schema.TaggedError<DbTimeout>()("DbTimeout", {
  operation: Schema.String,
  limit: Schema.Literals(["statement", "deadline"])
}) {}

/** As many operations of this user wait for a connection as may. */
export class DbBusy extends Schema.TaggedError<DbBusy>()("DbBusy", {
  operation: Schema.String,
  uid: Schema.String
}) {}

export type DbError = DbUnavailable | DbTimeout | DbBusy

/**
 * On whose behalf an operation runs. Each kind has connections of its own: requests wait for neither recording nor
 * health checks, and the other way round. Requests without a `uid` are not authenticated yet, or the node's own.
 */
export interface DbCaller {
  readonly kind: "request" | "ingest" | "health"
  readonly uid: string | undefined
  /** What it is for has begun to be sent, and would be cut: it waits, however many operations of its user do. */
  readonly hasBegun?: boolean
}

export const DbCaller = Context.Reference<DbCaller>("spillway/Db/DbCaller", {
  defaultValue: () => ({ kind: "request", uid: undefined })
})

export const ingestCaller: DbCaller = { kind: "ingest", uid: undefined }
export const healthCaller: DbCaller = { kind: "health", uid: undefined }

/** The user's operations take turns with those of other users. */
export function callerOf(uid: string): DbCaller {
  return { kind: "request", uid }
}

type Query<A, E> = (sql: SqlClient.SqlClient) => Effect.Effect<A, E | SqlError.SqlError>

/**
 * `operation` names the query in errors, logs and metrics (`"Chunks.insert"`). What a query fails with besides
 * `SqlError` passes through; a `SqlError` that is no fault of the database's availability (a constraint, bad SQL) is a defect.
 *
 * Operations that run inside the query of a transaction join it: they are never tried again by themselves, and a failure
 * of the database in one of them ends the whole, which is tried again. A fiber that outlives the transaction must not
 * use them.
 */
export class Db extends Context.Service<
  Db,
  {
    /** Safe to run again whenever the connection breaks. */
    read<A, E = never>(operation: string, query: Query<A, E>): Effect.Effect<A, Exclude<E, SqlError.SqlError> | DbError>
    /** Run again only if the statement was certainly not applied. */
    write<A, E = never>(
      operation: string,
      query: Query<A, E>
    ): Effect.Effect<A, Exclude<E, SqlError.SqlError> | DbError>
    /** The caller promises that applying it twice is the same as once. */
    writeIdempotent<A, E = never>(
      operation: string,
      query: Query<A, E>
    ): Effect.Effect<A, Exclude<E, SqlError.SqlError> | DbError>
    /** All statements in one transaction, retried only as a whole, and only if its commit was certainly not applied. */
    transaction<A, E = never>(
      operation: string,
      query: Query<A, E>
    ): Effect.Effect<A, Exclude<E, SqlError.SqlError> | DbError>
    /** As `transaction`; the caller promises that applying it twice is the same as once. */
    transactionIdempotent<A, E = never>(
      operation: string,
      query: Query<A, E>
    ): Effect.Effect<A, Exclude<E, SqlError.SqlError> | DbError>
  }
>()("spillway/Db") {}
