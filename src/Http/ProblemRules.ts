/** Maps failures to problems. The edges of the modules add a rule for each of their errors. */
import { Cause, Context, Effect, Layer } from "effect"
import { SecureRandom } from "effect/crypto"
import { HttpEffect, HttpServerError, HttpServerResponse, Multipart } from "effect/http"
import { HttpApiError } from "effect/http-api"
import { Problem } from "./Problem.ts"

/** Returns the problem for an error, or `undefined` if the rule does not apply to it. */
export type Rule = (error: unknown) => Problem | undefined

export function rule<E>(type: abstract new (...args: never) => E, problem: (error: E) => Problem): Rule {
  return (error) => (error instanceof type ? problem(error) : undefined)
}

const ofServer = ({ reason }: HttpServerError.HttpServerError): Problem | undefined => {
  if (reason._tag === "RouteNotFound") return Problem.notFound("There is no such path.")
  if (reason._tag !== "RequestParseError") return undefined
  return reason.reason === "BodyTooLarge"
    ? Problem.tooLarge("The body is larger than the server accepts.")
    : Problem.badRequest("The request ended early.")
}

const ofMultipart = ({ reason }: Multipart.MultipartError): Problem | undefined => {
  if (reason._tag === "InternalError") return undefined
  return reason._tag === "Parse"
    ? Problem.badRequest("The body is not valid multipart/form-data.")
    : Problem.tooLarge(`The body is larger than the server accepts (${reason._tag}).`)
}

/** Failures of the HTTP framework. `undefined` for those that are not the fault of the request. */
function ofFramework(error: unknown): Problem | undefined {
  if (HttpServerError.isHttpServerError(error)) return ofServer(error)
  if (HttpApiError.HttpApiPayloadTooLarge.is(error))
    return Problem.tooLarge("The body is larger than the server accepts.")
  if (error instanceof Multipart.MultipartError) return ofMultipart(error)
  if (!HttpApiError.HttpApiSchemaError.is(error)) return undefined
  const ours = error.kind === "Body" || error.kind === "ResponseHeaders"
  return ours ? undefined : Problem.invalid(error.kind === "Payload" ? "body" : error.kind.toLowerCase(), error.cause)
}

const builtIn: ReadonlyArray<Rule> = [(error) => (error instanceof Problem ? error : undefined), ofFramework]

type Response = HttpServerResponse.HttpServerResponse

export class ProblemRules extends Context.Service<
  ProblemRules,
  {
    add(rules: ReadonlyArray<Rule>): Effect.Effect<void>
    /** The problem for a failure. Without a rule it is an internal error, logged in full under the id in the body. */
    of(cause: Cause.Cause<unknown>): Effect.Effect<Problem>
    /** Replaces each failure of a handler by its problem. Interruption stays interruption. */
    answer<A, E, R>(handler: Effect.Effect<A, E, R>): Effect.Effect<A, Problem, R>
    /** As `answer`, for handlers of raw requests: the problem is a response with its own headers. */
    respond<E, R>(handler: Effect.Effect<Response, E, R>): Effect.Effect<Response, never, R>
  }
>()("spillway/Http/ProblemRules") {
  static readonly layer = Layer.sync(ProblemRules, () => {
    const rules = [...builtIn]
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

    const answer: ProblemRules["Service"]["answer"] = (handler) =>
      Effect.catchCause(handler, (cause) =>
        Cause.hasInterruptsOnly(cause)
          ? Effect.failCause(Cause.fromReasons(cause.reasons.filter(isInterrupt)))
          : Effect.flatMap(Effect.tap(of(cause), keepHeaders), Effect.fail)
      )

    return ProblemRules.of({
      add: (more) => Effect.sync(() => void rules.push(...more)),
      of,
      answer,
      respond: (handler) => Effect.catch(answer(handler), (problem) => Effect.succeed(problem.response))
    })
  })

  /** Adds the rules of a module. */
  static readonly layerOf = (...rules: ReadonlyArray<Rule>) =>
    Layer.effectDiscard(Effect.flatMap(ProblemRules, (problems) => problems.add(rules)))
}

/** Documented errors are encoded without headers, so `Retry-After` and `WWW-Authenticate` are set on the response here. */
const keepHeaders = ({ headers }: Problem) =>
  Effect.withFiber((fiber) => {
    if (headers === undefined) return Effect.void
    HttpEffect.appendPreResponseHandlerUnsafe(fiber.context, (_request, response) =>
      Effect.succeed(response.status >= 400 ? HttpServerResponse.setHeaders(response, headers) : response)
    )
    return Effect.void
  })

const isInterrupt = (reason: Cause.Reason<unknown>): reason is Cause.Interrupt => reason._tag === "Interrupt"
