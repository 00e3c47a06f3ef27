/** PostgreSQL: every query goes through this one place, which decides on timeouts, deadlines and retries. */
import { Context, Schema } from "effect"
import type { Effect } from "effect"
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

export type DbError = DbUnavailable | DbTimeout

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
