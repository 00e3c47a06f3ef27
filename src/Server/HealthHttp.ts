/** `/health/live`: the process answers. `/health/ready`: it should get traffic, and what it does without; 503 names what fails and why. */
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
