/** Retries, deadlines and admission of database operations. Independent of the client. */
import { Duration, Effect, Random, type Scope } from "effect"
import type { SqlError } from "effect/sql"
import { DbBusy, DbCaller, DbTimeout, DbUnavailable } from "../Db.ts"
import type { DbError } from "../Db.ts"
import * as Deadlines from "../Deadlines.ts"
import { attempt } from "./Attempt.ts"
import type { DbConfig } from "./DbConfig.ts"
import type { Observer } from "./DbMetrics.ts"
import * as Fault from "./Fault.ts"
import * as PoolShares from "./PoolShares.ts"

export interface Operation {
  readonly name: string
  /** Whether a retry is safe although the server may have applied the operation. */
  readonly isRepeatable: (error: SqlError.SqlError) => boolean
}

export interface Policy {
  /** Operations that hold a connection, and those that wait for one or for a retry. */
  readonly use: () => { readonly active: number; readonly waiting: number }
  readonly run: <A, E>(
    operation: Operation,
    effect: Effect.Effect<A, E | SqlError.SqlError>
  ) => Effect.Effect<A, Exclude<E, SqlError.SqlError> | DbError>
}

type Limits = Pick<
  DbConfig["Service"],
  | "pool"
  | "waiters"
  | "statementTimeout"
  | "deadline"
  | "retries"
  | "retryBase"
  | "retryCap"
  | "retryFloor"
  | "retryJitter"
>

/** Milliseconds before retry `n` (the first is 0), for `random` from 0 to 1. */
export function delay(limits: Limits, n: number, random: number): number {
  const spread = (limits.retryJitter / 100) * (2 * random - 1)
  const backoff = Math.min(Duration.toMillis(limits.retryBase) * 2 ** n, Duration.toMillis(limits.retryCap))
  return Math.max(Math.round(backoff * (1 + spread)), Duration.toMillis(limits.retryFloor))
}

/** Fraction of the pool for recording. */
const ingestShare = 0.4

/** Fraction of the request connections for one user: three users leave some to a fourth. */
const userShare = 0.3

const atLeastOne = (count: number) => Math.max(1, Math.floor(count))

/** Connections by kind of caller, one for health checks. Of a pool of 20, requests get 11, and one user at most 3 of these. */
const divide = (pool: number) => {
  const ofIngest = atLeastOne(pool * ingestShare)
  const ofRequests = atLeastOne(pool - ofIngest - 1)
  return {
    health: PoolShares.make(1, 1),
    ingest: PoolShares.make(ofIngest, ofIngest),
    request: PoolShares.make(ofRequests, atLeastOne(ofRequests * userShare))
  }
}

export const make = Effect.fnUntraced(function* (
  limits: Limits,
  observer: Observer
): Effect.fn.Return<Policy, never, Scope.Scope> {
  const shares = divide(limits.pool)
  const deadlines = yield* Deadlines.make
  const statement = Duration.toMillis(limits.statementTimeout)
  const total = Duration.toMillis(limits.deadline)
  const inside = { request: 0, ingest: 0, health: 0 }

  const run: Policy["run"] = <A, E>(operation: Operation, effect: Effect.Effect<A, E | SqlError.SqlError>) => {
    const name = operation.name
    const isSqlError = (error: E | SqlError.SqlError | DbError): error is SqlError.SqlError => Fault.isSqlError(error)
    type Failure = Exclude<E, SqlError.SqlError> | DbError
    const timeout = (limit: "statement" | "deadline") => new DbTimeout({ operation: name, limit })

    const failed = (
      error: SqlError.SqlError,
      tries: number,
      end: number,
      caller: DbCaller
    ): Effect.Effect<A, Failure> => {
      const fault = Fault.classify(error)
      observer.onFault(name, fault)
      if (fault === "bug") return Effect.die(error)
      if (fault === "timeout") return Effect.fail(timeout("statement"))
      const isRetryable = fault === "refused" || (fault === "broken" && operation.isRepeatable(error))
      if (!isRetryable || tries > limits.retries)
        return Effect.fail(new DbUnavailable({ operation: name, attempts: tries, cause: error }))
      observer.onRetry(name, fault)
      return Effect.flatMap(Random.next, (random) => {
        const wait = Math.min(delay(limits, tries - 1, random), Math.max(end - deadlines.now(), 0))
        return Effect.andThen(Effect.sleep(Duration.millis(wait)), tryOnce(tries + 1, end, caller))
      })
    }

    const tryOnce = (tries: number, end: number, caller: DbCaller): Effect.Effect<A, Failure> =>
      Effect.suspend(() => {
        if (tries > 1 && deadlines.now() >= end) return Effect.fail(timeout("deadline"))
        const limited = attempt<A, E | SqlError.SqlError, DbError>(effect, {
          permits: shares[caller.kind],
          uid: caller.uid,
          isRejectable: caller.isStreaming !== true,
          deadlines,
          waitsUntil: end,
          runsUntil: () => Math.min(deadlines.now() + statement, end),
          onLimit: () => timeout(deadlines.now() >= end ? "deadline" : "statement"),
          onFull: (uid) => new DbBusy({ operation: name, uid })
        })
        // The client raises a defect, not an error, when `ROLLBACK` finds a broken connection.
        const failing = Effect.catchDefect(limited, (defect) =>
          Fault.isSqlError(defect) && Fault.classify(defect) !== "bug" ? Effect.fail(defect) : Effect.die(defect)
        )
        return Effect.catchIf(failing, isSqlError, (error) => failed(error, tries, end, caller), Effect.fail)
      })

    return Effect.withFiber((fiber) => {
      const caller = fiber.getRef(DbCaller)
      const { kind } = caller
      let start: number | undefined
      const all = Effect.suspend((): Effect.Effect<A, Failure> => {
        if (inside[kind] >= shares[kind].count + limits.waiters) {
          const cause = new Error(`more than ${limits.waiters} operations wait for a connection`)
          return Effect.fail(new DbUnavailable({ operation: name, attempts: 0, cause }))
        }
        inside[kind]++
        start = deadlines.now()
        return tryOnce(1, start + total, caller)
      })
      return Effect.onExitPrimitive(all, () => {
        if (start === undefined) return undefined
        inside[kind]--
        observer.onEnd(name, deadlines.now() - start)
        return undefined
      })
    })
  }
  const use = () => {
    const active = shares.request.active() + shares.ingest.active() + shares.health.active()
    return { active, waiting: inside.request + inside.ingest + inside.health - active }
  }
  return { run, use }
})
