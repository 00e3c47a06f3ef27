/** Which failure is which problem: one table, to which every module's edge adds its own errors. */
import { Cause, Context, Duration, Effect, Layer } from "effect"
import { SecureRandom } from "effect/crypto"
import { HttpEffect, HttpServerResponse } from "effect/http"
import { NoSeat, Saturated } from "../Bulkhead.ts"
import { DbBusy, DbTimeout, DbUnavailable } from "../Db.ts"
import { StorageRefused, StorageUnavailable } from "../Storage.ts"
import * as FrameworkProblems from "./FrameworkProblems.ts"
import { Problem } from "./Problem.ts"

/** Answers the problem that an error is, or `undefined` when it is not this rule's error. */
export type Rule = (error: unknown) => Problem | undefined

/** The rule for one class of errors. */
export function rule<E>(type: abstract new (...args: never) => E, problem: (error: E) => Problem): Rule {
  return (error) => (error instanceof type ? problem(error) : undefined)
}

const again = "Try again in a second."

const noSeat = ({ limit, of, seats, setting }: NoSeat): Problem => {
  const code = seats.replaceAll(" ", "-")
  const bound = `${limit} at once (${setting})`
  return of === "node"
    ? Problem.unavailable(
        code,
        `The node has as many ${seats} as it takes`,
        `It takes ${bound}. Try another node, or later.`,
        5
      )
    : Problem.tooMany(
        `${code}-of-user`,
        `The user has too many ${seats}`,
        `One user may have ${bound}. End one, and try again.`,
        5
      )
}

const shared: ReadonlyArray<Rule> = [
  (error) => (error instanceof Problem ? error : undefined),
  rule(DbUnavailable, () => Problem.unavailable("database-unavailable", "The database does not answer", again)),
  rule(DbBusy, () =>
    Problem.tooMany("too-many-requests", "The user has too many requests at once", `As many wait as may. ${again}`)
  ),
  rule(Saturated, ({ bulkhead, retryAfter }) =>
    Problem.unavailable(
      "saturated",
      "The node is busy",
      `As many wait for ${bulkhead} as may. Try again later.`,
      Math.ceil(Duration.toSeconds(retryAfter))
    )
  ),
  rule(NoSeat, noSeat),
  rule(DbTimeout, () => Problem.unavailable("database-timeout", "The database is too slow", again)),
  rule(StorageUnavailable, () => Problem.unavailable("storage-unavailable", "The object store does not answer", again)),
  rule(StorageRefused, () =>
    Problem.unavailable("storage-refused", "The object store refuses", "The operator finds the reason in the log.", 60)
  ),
  FrameworkProblems.rule
]

export class Problems extends Context.Service<
  Problems,
  {
    add(rules: ReadonlyArray<Rule>): Effect.Effect<void>
    /** The problem that a failure is. What no rule knows is internal: logged in full under the id that the body names. */
    of(cause: Cause.Cause<unknown>): Effect.Effect<Problem>
    /** Turns every failure of a handler into its problem; interruption passes. */
    answer<A, E, R>(handler: Effect.Effect<A, E, R>): Effect.Effect<A, Problem, R>
  }
>()("spillway/Http/Problems") {
  static readonly layer = Layer.sync(Problems, () => {
    const rules = [...shared]
    const known = (error: unknown) =>
      rules.reduce<Problem | undefined>((found, rule) => found ?? rule(error), undefined)

    const of = Effect.fnUntraced(function* (cause: Cause.Cause<unknown>) {
      const reasons = cause.reasons.filter((reason) => reason._tag !== "Interrupt")
      const problem = reasons
        .map((reason) => known(reason._tag === "Fail" ? reason.error : reason.defect))
        .find((problem) => problem !== undefined)
      if (problem === undefined) {
        const id = SecureRandom.uuidV4Unsafe()
        yield* Effect.logError("A request failed", cause).pipe(Effect.annotateLogs({ problem: id }))
        return Problem.internal(id)
      }
      if (problem.status >= 500) yield* Effect.logWarning(problem.title, cause)
      return problem
    })

    return Problems.of({
      add: (more) => Effect.sync(() => void rules.push(...more)),
      of,
      answer: (handler) =>
        Effect.catchCause(handler, (cause) =>
          Cause.hasInterruptsOnly(cause)
            ? Effect.failCause(Cause.fromReasons(cause.reasons.filter(isInterrupt)))
            : Effect.flatMap(Effect.tap(of(cause), keepHeaders), Effect.fail)
        )
    })
  })

  /** For a module's edge: adds its rules. */
  static readonly rules = (...rules: ReadonlyArray<Rule>) =>
    Layer.effectDiscard(Effect.flatMap(Problems, (problems) => problems.add(rules)))
}

/** A documented error is encoded as its body alone: its headers (`Retry-After`, `WWW-Authenticate`) are put on the response. */
const keepHeaders = ({ headers }: Problem) =>
  Effect.withFiber((fiber) => {
    if (headers === undefined) return Effect.void
    HttpEffect.appendPreResponseHandlerUnsafe(fiber.context, (_request, response) =>
      Effect.succeed(response.status >= 400 ? HttpServerResponse.setHeaders(response, headers) : response)
    )
    return Effect.void
  })

const isInterrupt = (reason: Cause.Reason<unknown>): reason is Cause.Interrupt => reason._tag === "Interrupt"
