/** `/health/live`: the process answers. `/health/ready`: it should get traffic, and what it does without; 503 names what fails and why. */
import { Effect } from "effect"
import { HttpRouter, HttpServerResponse } from "effect/http"
import { Readiness, type Status } from "./Readiness.ts"

export const paths = { live: "/health/live", ready: "/health/ready" } as const

export const live = { status: "live" }

/** The body of `/health/ready`. */
export const readiness = ({ degraded, failing }: Status) => ({
  ...(failing.length === 0 ? { status: "ready" } : { status: "unavailable", failing }),
  ...(degraded.length === 0 ? {} : { degraded })
})

const headers = { "cache-control": "no-store" }

export const layer = HttpRouter.use(
  Effect.fnUntraced(function* (router) {
    const { status } = yield* Readiness
    yield* router.add("GET", paths.live, HttpServerResponse.jsonUnsafe(live, { headers }))
    yield* router.add(
      "GET",
      paths.ready,
      Effect.map(status, (now) =>
        HttpServerResponse.jsonUnsafe(readiness(now), { status: now.failing.length === 0 ? 200 : 503, headers })
      )
    )
  })
)
