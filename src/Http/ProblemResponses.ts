/** Middleware that gives every response with an error status a problem body. */
import { Cause, Effect } from "effect"
import type { Types } from "effect"
import { HttpRouter, HttpServerError, HttpServerRequest, HttpServerResponse } from "effect/http"
import * as Expiry from "./Expiry.ts"
import { Methods } from "./Methods.ts"
import { Problem } from "./Problem.ts"
import { ProblemRules } from "./ProblemRules.ts"

const titles: Readonly<Record<number, string>> = {
  400: "The request is not valid",
  408: "The request took too long",
  415: "The content type of the body is not supported",
  426: "The connection must be upgraded"
}

/** An error response without a body, or with a line of text. */
const isBare = ({ body, status }: HttpServerResponse.HttpServerResponse) =>
  status >= 400 && (body._tag === "Empty" || body.contentType?.startsWith("text/plain") === true)

const withProblem = (response: HttpServerResponse.HttpServerResponse) => {
  if (!isBare(response)) return response
  if (response.status === 413) return Problem.tooLarge("The body is larger than the server accepts.").response
  return Problem.ofStatus(response.status, titles[response.status] ?? "The request failed").response
}

const isResponse = (reason: Cause.Reason<unknown>): boolean =>
  HttpServerResponse.isHttpServerResponse(reason._tag === "Die" ? reason.defect : undefined)

const isRouteNotFound = (cause: Cause.Cause<unknown>) =>
  cause.reasons.some(
    (reason) =>
      reason._tag === "Fail" &&
      HttpServerError.isHttpServerError(reason.error) &&
      reason.error.reason._tag === "RouteNotFound"
  )

export const layer = HttpRouter.middleware(
  Effect.gen(function* () {
    const problems = yield* ProblemRules
    const { allowed } = yield* Methods

    const recover = Effect.fnUntraced(function* (cause: Cause.Cause<Types.unhandled>) {
      const expired = Expiry.problemOf(cause)
      if (expired !== undefined) return (yield* problems.of(Cause.fail(expired))).response
      if (Cause.hasInterruptsOnly(cause) || cause.reasons.some(isResponse)) return yield* Effect.failCause(cause)
      if (isRouteNotFound(cause)) {
        const methods = allowed((yield* HttpServerRequest.HttpServerRequest).url)
        if (methods.length > 0) return Problem.methodNotAllowed(methods).response
      }
      return (yield* problems.of(cause)).response
    })

    return (effect) => effect.pipe(Effect.map(withProblem), Effect.catchCause(recover))
  }),
  { global: true }
)
