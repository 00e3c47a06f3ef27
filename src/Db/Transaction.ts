/** Interruptible transactions: the client's own cannot be interrupted in BEGIN, COMMIT and ROLLBACK. */
import type { PgClient } from "@effect/sql-pg"
import { Duration, Effect, Predicate } from "effect"
import { SqlClient, type SqlConnection, SqlError } from "effect/sql"

/** Server settings of one transaction, in milliseconds. */
export interface Limits {
  readonly statement: string
  readonly idle: string
}

/** Time limit of a ROLLBACK, after which its connection counts as broken. */
const rollbackTimeout = Duration.seconds(5)

const control = (connection: SqlConnection.Connection, statement: string) =>
  connection.execute(statement, [], undefined)

const rollback = (connection: SqlConnection.Connection): Effect.Effect<void, SqlError.SqlError> =>
  Effect.interruptible(control(connection, "ROLLBACK")).pipe(
    Effect.timeoutOrElse({
      duration: rollbackTimeout,
      orElse: () =>
        new SqlError.SqlError({
          reason: new SqlError.ConnectionError({
            cause: new Error("no response to ROLLBACK"),
            message: "no response to ROLLBACK",
            operation: "query"
          })
        })
    }),
    Effect.asVoid
  )

/** Rolls back after interruption, because an interrupted BEGIN or COMMIT may leave a transaction open. */
const interruptible = <A>(connection: SqlConnection.Connection, effect: Effect.Effect<A, SqlError.SqlError>) =>
  Effect.onInterrupt(Effect.interruptible(effect), () => Effect.ignore(rollback(connection)))

/** PostgreSQL answers COMMIT with ROLLBACK when a statement of the transaction has failed. */
const commit = (connection: SqlConnection.Connection) =>
  Effect.flatMap(connection.executeRaw("COMMIT", []), (result) =>
    Predicate.hasProperty(result, "command") && result.command === "COMMIT"
      ? Effect.void
      : new SqlError.SqlError({
          reason: new SqlError.UnknownError({
            cause: new Error("COMMIT rolled back an aborted transaction"),
            message: "COMMIT rolled back an aborted transaction",
            operation: "commit"
          })
        })
  )

const setLimits = (connection: SqlConnection.Connection, { idle, statement }: Limits) =>
  connection
    .execute(
      "SELECT set_config('statement_timeout', $1, true), set_config('idle_in_transaction_session_timeout', $2, true)",
      [statement, idle],
      undefined
    )
    .pipe(Effect.tapError(() => Effect.ignore(rollback(connection))))

interface Options {
  /** Set in each transaction when sessions cannot have settings. */
  readonly limits?: Limits | undefined
  /** The transaction has one statement, whose failure the caller may catch: a COMMIT that rolls back is no error. */
  readonly single?: boolean
}

/** As `sql.withTransaction`: commits on success, rolls back otherwise; nested transactions are savepoints. */
export function make(sql: PgClient.PgClient, { limits, single = false }: Options) {
  return SqlClient.makeWithTransaction({
    transactionService: sql.transactionService,
    spanAttributes: [["db.system.name", "postgresql"]],
    acquireConnection: (restore) => restore(sql.reserve),
    begin: (connection, statement) => {
      const begin =
        statement === undefined ? control(connection, "BEGIN") : connection.executeUnprepared(statement, [], undefined)
      const all = limits === undefined ? begin : Effect.andThen(begin, setLimits(connection, limits))
      return interruptible(connection, all)
    },
    savepoint: (connection, id) => control(connection, `SAVEPOINT effect_sql_${id}`),
    releaseSavepoint: (connection, id) => control(connection, `RELEASE SAVEPOINT effect_sql_${id}`),
    commit: (connection) => interruptible(connection, single ? control(connection, "COMMIT") : commit(connection)),
    rollback,
    rollbackSavepoint: (connection, id) => control(connection, `ROLLBACK TO SAVEPOINT effect_sql_${id}`)
  })
}
