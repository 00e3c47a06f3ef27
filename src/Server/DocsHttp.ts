/** The contract for machines at `/openapi.json`, and for people at `/docs`. */
import { Effect, Scope } from "effect"
import { HttpRouter, HttpServerResponse } from "effect/http"
import { HttpApiScalar, OpenApi } from "effect/http-api"
import type { HttpApi, HttpApiGroup } from "effect/http-api"

/** Runs when it is first needed, and then to its end: one client that leaves must not fail it for all. */
const once = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.cached(Effect.uninterruptible(effect))

/** Both are made for the first who asks: 3 MB and some 50 ms that no start needs. `/docs` loads nothing from elsewhere. */
export function layer<Id extends string, Groups extends HttpApiGroup.Constraint>(api: HttpApi.HttpApi<Id, Groups>) {
  return HttpRouter.use(
    Effect.fnUntraced(function* (router) {
      const document = yield* once(Effect.sync(() => HttpServerResponse.jsonUnsafe(OpenApi.fromApi(api))))
      yield* router.add("GET", "/openapi.json", document)
      const page = HttpRouter.toHttpEffect(
        HttpApiScalar.layer(api, { path: "/docs", scalar: { withDefaultFonts: false } })
      )
      yield* router.add("GET", "/docs", Effect.flatten(yield* once(Scope.provide(page, yield* Effect.scope))))
    })
  )
}
