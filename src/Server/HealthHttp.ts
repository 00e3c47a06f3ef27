/** `/health/live`: the process responds. `/health/ready`: 200 if the node should get traffic, else 503 with the failed checks. */
import { Effect } from "effect"
import { HttpRouter, HttpServerResponse } from "effect/http"
import { Health, Readiness } from "../Readiness.ts"

const headers = { "cache-control": "no-store" }

export const layer = HttpRouter.use(
  Effect.fnUntraced(function* (router) {
    const { status } = yield* Readiness
    yield* router.add("GET", Health.paths.live, HttpServerResponse.jsonUnsafe(Health.live, { headers }))
    yield* router.add(
      "GET",
      Health.paths.ready,
      Effect.map(status, (now) =>
        HttpServerResponse.jsonUnsafe(Health.readiness(now), { status: now.failing.length === 0 ? 200 : 503, headers })
      )
    )
  })
)
