/** The HTTP contract: `/openapi.json` for programs, `/docs` for people. */
import { Effect, Scope } from "effect"
import { HttpRouter, HttpServerResponse } from "effect/http"
import { HttpApiScalar, OpenApi } from "effect/http-api"
import type { HttpApi, HttpApiGroup } from "effect/http-api"

/** Runs on first use, uninterruptibly, because a client that disconnects must not fail it for others. */
const once = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.cached(Effect.uninterruptible(effect))

/** `showDeveloperTools` is missing in Effect's type; by default a toolbar for the viewer's own vendor is shown on localhost. */
const viewer = {
  withDefaultFonts: false,
  showDeveloperTools: "never",
  authentication: { preferredSecurityScheme: "bearer" }
} as const

/** Built on first use, because they need 3 MB and about 50 ms. `/docs` loads nothing from other hosts. */
export function layer<Id extends string, Groups extends HttpApiGroup.Constraint>(api: HttpApi.HttpApi<Id, Groups>) {
  return HttpRouter.use(
    Effect.fnUntraced(function* (router) {
      const document = yield* once(Effect.sync(() => HttpServerResponse.jsonUnsafe(OpenApi.fromApi(api))))
      yield* router.add("GET", "/openapi.json", document)
      const page = HttpRouter.toHttpEffect(HttpApiScalar.layer(api, { path: "/docs", scalar: viewer }))
      yield* router.add("GET", "/docs", Effect.flatten(yield* once(Scope.provide(page, yield* Effect.scope))))
    })
  )
}
