/** Routes of endpoints that answer a request themselves, and often. */
import { Context, Effect, Schema } from "effect"
import { HttpRouter, HttpServerRequest, type HttpServerResponse } from "effect/http"
import { HttpApiError } from "effect/http-api"
import { ProblemRules } from "./ProblemRules.ts"

interface Endpoint<P, Q> {
  readonly path: HttpRouter.PathInput
  readonly params: Schema.ConstraintDecoder<P>
  readonly query: Schema.ConstraintDecoder<Q>
}

export interface Parts<P, Q> {
  readonly request: HttpServerRequest.HttpServerRequest
  readonly params: P
  readonly query: Q
}

export type PartsOf<E> = E extends Endpoint<infer P, infer Q> ? Parts<P, Q> : never

/** As in `HttpApi` groups that are `strict`. */
const options = { errors: "all" } as const

const { wrap } = HttpApiError.HttpApiSchemaError

/**
 * A route for GET and HEAD. `HttpApiBuilder` copies all services of the program twice for each request, which takes longer than
 * a short response. The contract of the endpoint has the same schemas.
 */
export function layer<P, Q, E, R, RE>(
  endpoint: Endpoint<P, Q>,
  make: Effect.Effect<(parts: Parts<P, Q>) => Effect.Effect<HttpServerResponse.HttpServerResponse, E, R>, never, RE>
) {
  const decodeParams = Schema.decodeUnknownEffect(endpoint.params, options)
  const decodeQuery = Schema.decodeUnknownEffect(Schema.toCodecArrayFromSingle(endpoint.query), options)
  return HttpRouter.use(
    Effect.fnUntraced(function* (router) {
      const problems = yield* ProblemRules
      const handler = yield* make
      const answer = Effect.contextWith(
        (
          context: Context.Context<
            HttpServerRequest.HttpServerRequest | HttpServerRequest.ParsedSearchParams | HttpRouter.RouteContext
          >
        ) => {
          const request = Context.get(context, HttpServerRequest.HttpServerRequest)
          const params = wrap("Params", decodeParams(Context.get(context, HttpRouter.RouteContext).params))
          const query = wrap("Query", decodeQuery(Context.get(context, HttpServerRequest.ParsedSearchParams)))
          return Effect.flatMapEager(params, (params) =>
            Effect.flatMapEager(query, (query) => handler({ request, params, query }))
          )
        }
      )
      yield* router.add("GET", endpoint.path, problems.respond(answer))
    })
  )
}
