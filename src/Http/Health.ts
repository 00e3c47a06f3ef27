/** `/health/live`: the process answers. `/health/ready`: it should get traffic, and what it does without; 503 names what fails and why. */
import { Effect } from "effect"
import { HttpRouter, HttpServerResponse } from "effect/http"
import { Readiness } from "./Readiness.ts"

const headers = { "cache-control": "no-store" }

export const layer = HttpRouter.use(
  Effect.fnUntraced(function* (router) {
    const readiness = yield* Readiness
    yield* router.add("GET", "/health/live", HttpServerResponse.jsonUnsafe({ status: "live" }, { headers }))
    yield* router.add(
      "GET",
      "/health/ready",
      Effect.map(readiness.status, ({ degraded, failing }) => {
        const without = degraded.length === 0 ? {} : { degraded }
        return failing.length === 0
          ? HttpServerResponse.jsonUnsafe({ status: "ready", ...without }, { headers })
          : HttpServerResponse.jsonUnsafe({ status: "unavailable", failing, ...without }, { status: 503, headers })
      })
    )
  })
)
