/** The methods of each path, for 405 responses with `Allow`. */
import { Context, Effect, Layer } from "effect"
import { FindMyWay, HttpRouter } from "effect/http"

const methods = ["GET", "POST", "PUT", "PATCH", "DELETE"] as const

export class Methods extends Context.Service<
  Methods,
  {
    /** Empty for a path without a route. */
    allowed(url: string): ReadonlyArray<string>
  }
>()("spillway/Http/Methods") {
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
