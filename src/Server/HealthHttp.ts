/** `/health/live`: the process responds. `/health/ready`: 200 if the node should get traffic, else 503 with the failed checks. */
import { Effect } from "effect"
import { HttpRouter, HttpServerResponse } from "effect/http"
import { healthPaths, liveBody, Readiness, readinessBody } from "../Readiness.ts"

const headers = { "cache-control": "no-store" }

export const layer = HttpRouter.use(
  Effect.fnUntraced(function* (router) {
    const { status } = yield* Readiness
    yield* router.add("GET", healthPaths.live, HttpServerResponse.jsonUnsafe(liveBody, { headers }))
    yield* router.add(
      "GET",
      healthPaths.ready,
      Effect.map(status, (now) =>
        HttpServerResponse.jsonUnsafe(readinessBody(now), { status: now.failing.length === 0 ? 200 : 503, headers })
      )
    )
  })
)
