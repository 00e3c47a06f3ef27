/** `Db` on PostgreSQL. Effect's own modules use the same pool as `SqlClient`, without the policy. */
import { PgClient } from "@effect/sql-pg"
import { Context, Duration, Effect, Layer, Schedule } from "effect"
import type { Scope } from "effect"
import { Reactivity } from "effect/reactivity"
import { SqlClient, type SqlError } from "effect/sql"
import { CommitTasks, Db } from "../Db.ts"
import { DbConfig } from "./DbConfig.ts"
import * as DbMetrics from "./DbMetrics.ts"
import { DbServer } from "./DbServer.ts"
import * as Fault from "./Fault.ts"
import * as Policy from "./Policy.ts"
import * as Transaction from "./Transaction.ts"

/** The server cancels later than the client, whose cancellation takes at most 5 s: a late one could hit the next statement. */
const serverGrace = Duration.seconds(5)

/** A vanished peer is detected after 10 s of silence and ten probes, one a second. */
const keepAlive = Duration.seconds(10)

const samplePool = Duration.seconds(1)

/** The values of PostgreSQL's settings, in milliseconds. */
const limitsOf = ({ statementTimeout }: DbConfig["Service"]): Transaction.Limits => {
  const millis = String(Duration.toMillis(Duration.sum(statementTimeout, serverGrace)))
  return { statement: millis, idle: millis }
}

type Query<A, E> = (sql: SqlClient.SqlClient) => Effect.Effect<A, E | SqlError.SqlError>

const make = Effect.gen(function* () {
  const config = yield* DbConfig
  const sql = yield* PgClient.PgClient
  const metrics = DbMetrics.make(config.pool, yield* Effect.context<never>())
  const policy = yield* Policy.make(config, metrics)
  yield* Effect.sync(() => metrics.pool(policy.use())).pipe(
    Effect.repeat(Schedule.spaced(samplePool)),
    Effect.forkScoped
  )
  const { pooled } = yield* DbServer
  const limits = pooled ? limitsOf(config) : undefined
  const withTransaction = Transaction.make(sql, { limits })
  const withSingle = Transaction.make(sql, { limits, single: true })

  /** Inside a transaction nothing is retried: a database failure is a defect, which aborts the whole transaction. */
  const joined = <A, E>(effect: Effect.Effect<A, E | SqlError.SqlError>) => {
    const isSqlError = (error: E | SqlError.SqlError): error is SqlError.SqlError => Fault.isSqlError(error)
    return Effect.catchIf(effect, isSqlError, Effect.die, Effect.fail)
  }

  const run = <A, E>(operation: Policy.Operation, effect: Effect.Effect<A, E | SqlError.SqlError>) =>
    Effect.withFiber((fiber) =>
      Context.getOrUndefined(fiber.context, sql.transactionService) === undefined
        ? policy.run(operation, effect)
        : joined(effect)
    )

  const statement =
    (isRepeatable: boolean) =>
    <A, E>(name: string, query: Query<A, E>) =>
      run(
        { name, isRepeatable: () => isRepeatable },
        Effect.suspend(() => query(sql))
      )

  const transactionWith =
    (wrap: typeof withTransaction) =>
    (isRepeatable: boolean) =>
    <A, E>(name: string, query: Query<A, E>) =>
      Effect.suspend(() => {
        // Until COMMIT is sent, a broken connection means that the server rolls back.
        let committing = false
        const tasks = new Set<() => void>()
        const whole = Effect.suspend(() => {
          committing = false
          return wrap(
            Effect.tap(query(sql), () => {
              committing = true
              return Effect.void
            })
          )
        })
        const outermost = Effect.tap(Effect.provideService(whole, CommitTasks, tasks), () => {
          for (const task of tasks) task()
          return Effect.void
        })
        // An operation that joins a transaction leaves its tasks to it.
        return Effect.withFiber((fiber) =>
          run(
            { name, isRepeatable: () => isRepeatable || !committing },
            fiber.getRef(CommitTasks) === undefined ? outermost : whole
          )
        )
      })

  // Behind a pooler, limits apply to one transaction, so each statement gets its own.
  const single = pooled ? transactionWith(withSingle) : statement
  const transaction = transactionWith(withTransaction)
  return Db.of({
    read: single(true),
    write: single(false),
    writeIdempotent: single(true),
    transaction: transaction(false),
    transactionIdempotent: transaction(true)
  })
})

const client = Effect.gen(function* () {
  const config = yield* DbConfig
  const { login, pooled } = yield* DbServer
  const { idle, statement } = limitsOf(config)
  return yield* PgClient.make({
    applicationName: "spillway",
    connectTimeout: config.connectTimeout,
    ...login,
    maxConnections: config.pool,
    keepAlive,
    transformJson: false,
    prepare: !pooled,
    ...(pooled
      ? {}
      : { startupParameters: { statement_timeout: statement, idle_in_transaction_session_timeout: idle } })
  })
})

const layerClient = PgClient.layerFrom<SqlError.SqlError, DbConfig | DbServer | Scope.Scope | Reactivity.Reactivity>(
  client
)

/** Opens connections on demand, none at startup. */
export const layer = Layer.effect(Db, make).pipe(Layer.provideMerge(layerClient))
