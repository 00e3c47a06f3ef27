/** Middleware that gives every response with an error status a problem body. */
import { Cause, Context, Effect, Layer } from "effect"
import type { Types } from "effect"
import { FindMyWay, HttpRouter, HttpServerError, HttpServerRequest, HttpServerResponse } from "effect/http"
import { Problem } from "./Problem.ts"
import { Problems } from "./Problems.ts"

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

const methods = ["GET", "POST", "PUT", "PATCH", "DELETE"] as const

/** The methods of each path, for 405 responses with `Allow`. */
export class Methods extends Context.Service<
  Methods,
  {
    /** Empty for a path without a route. */
    allowed(url: string): ReadonlyArray<string>
  }
>()("spillway/Http/ProblemResponses/Methods") {
  /** Wraps the router. Routes must be added to the `HttpRouter` that this layer provides. */
  static readonly layer = Layer.effectContext(
    Effect.gen(function* () {
      const config = yield* HttpRouter.RouterConfig
      const known = FindMyWay.make<true>(config)
      const record = (route: HttpRouter.Route<unknown, unknown>) => {
        if (route.path === "/*" || route.path === "*") return
        for (const method of methods.filter((method) => route.method === "*" || route.method === method)) {
          known.on(method, route.path, true)
        }
      }
      const wrapped = (router: HttpRouter.HttpRouter, prefix: string): HttpRouter.HttpRouter => ({
        ...router,
        prefixed: (more) => wrapped(router.prefixed(more), prefix + more),
        add: (method, path, handler, options) =>
          Effect.suspend(() => {
            record(HttpRouter.route(method, `/${(prefix + path).slice(1)}`, handler))
            return router.add(method, path, handler, options)
          }),
        addAll: (routes) =>
          Effect.suspend(() => {
            for (const route of routes) record(HttpRouter.prefixRoute(route, prefix))
            return router.addAll(routes)
          })
      })
      const allowed = (url: string) => methods.filter((method) => known.find(method, url) !== undefined)
      return Context.make(Methods, { allowed }).pipe(
        Context.add(HttpRouter.HttpRouter, wrapped(yield* HttpRouter.HttpRouter, ""))
      )
    })
  )
}

export const layer = HttpRouter.middleware(
  Effect.gen(function* () {
    const problems = yield* Problems
    const { allowed } = yield* Methods

    const recover = Effect.fnUntraced(function* (cause: Cause.Cause<Types.unhandled>) {
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
