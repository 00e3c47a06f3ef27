/** `/health/live`: the process answers. `/health/ready`: it should get traffic; 503 names what fails and why. */
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
      Effect.map(readiness.failing, (failing) =>
        failing.length === 0
          ? HttpServerResponse.jsonUnsafe({ status: "ready" }, { headers })
          : HttpServerResponse.jsonUnsafe({ status: "unavailable", failing }, { status: 503, headers })
      )
    )
  })
)
