/** Which methods each path takes, so that a known path with another method is answered with 405 and `Allow`. */
import { Context, Effect, Layer } from "effect"
import { FindMyWay, HttpRouter } from "effect/http"

const methods = ["GET", "POST", "PUT", "PATCH", "DELETE"] as const

export class Methods extends Context.Service<
  Methods,
  {
    /** Empty for a path that no route has. */
    allowed(url: string): ReadonlyArray<string>
  }
>()("spillway/Http/Methods") {
  /** Listens in on the router: routes must be added to the `HttpRouter` that this layer provides. */
  static readonly layer = Layer.effectContext(
    Effect.gen(function* () {
      const config = yield* HttpRouter.RouterConfig
      const known = FindMyWay.make<true>(config)
      const note = (route: HttpRouter.Route<unknown, unknown>) => {
        if (route.path === "/*" || route.path === "*") return
        for (const method of methods.filter((method) => route.method === "*" || route.method === method)) {
          known.on(method, route.path, true)
        }
      }
      const listening = (router: HttpRouter.HttpRouter, prefix: string): HttpRouter.HttpRouter => ({
        ...router,
        prefixed: (more) => listening(router.prefixed(more), prefix + more),
        add: (method, path, handler, options) =>
          Effect.suspend(() => {
            note(HttpRouter.route(method, `/${(prefix + path).slice(1)}`, handler))
            return router.add(method, path, handler, options)
          }),
        addAll: (routes) =>
          Effect.suspend(() => {
            for (const route of routes) note(HttpRouter.prefixRoute(route, prefix))
            return router.addAll(routes)
          })
      })
      const allowed = (url: string) => methods.filter((method) => known.find(method, url) !== undefined)
      return Context.make(Methods, { allowed }).pipe(
        Context.add(HttpRouter.HttpRouter, listening(yield* HttpRouter.HttpRouter, ""))
      )
    })
  )
}
